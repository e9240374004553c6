"""Everyone who listens hears, whatever happens to the others."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from app.events import Announcement


async def test_all_hear_in_order_plain_functions_and_coroutines() -> None:
    heard: list[tuple[str, str]] = []

    def plain(event: str) -> None:
        heard.append(("plain", event))

    async def slow(event: str) -> None:
        await asyncio.sleep(0)
        heard.append(("slow", event))

    happened = Announcement("something happened")
    happened.when(slow, plain)
    happened.when(slow)
    assert await happened.announce("once")
    assert heard == [("slow", "once"), ("plain", "once")]
    happened.forget()
    assert await happened.announce("again")
    assert len(heard) == 2


async def test_a_listener_that_fails_is_logged_and_stops_nobody() -> None:
    heard: list[str] = []

    async def broken(event: str) -> None:
        raise ZeroDivisionError(event)

    happened = Announcement("something happened")
    happened.when(broken, heard.append)
    with structlog.testing.capture_logs() as logs:
        assert not await happened.announce("once")
    assert heard == ["once"]
    [line] = logs
    assert (line["event"], line["log_level"], line["announcement"]) == (
        "listener failed",
        "error",
        "something happened",
    )
    assert "broken" in line["listener"]


async def test_a_cancelled_announcement_is_cancelled() -> None:
    async def endless(event: str) -> None:
        await asyncio.Event().wait()

    happened = Announcement("something happened")
    happened.when(endless)
    task = asyncio.create_task(happened.announce("once"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
