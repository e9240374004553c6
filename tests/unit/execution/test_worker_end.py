from __future__ import annotations

import asyncio

from app import worker


async def test_a_task_that_swallows_a_cancellation_is_canceled_again() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def failed() -> None:
        raise ValueError("long ago")

    tasks = [asyncio.ensure_future(stubborn()), asyncio.ensure_future(failed())]
    await asyncio.sleep(0)
    await asyncio.wait_for(worker._canceled(tasks), 30)
    assert all(task.done() for task in tasks)
    assert isinstance(tasks[1].exception(), ValueError)
