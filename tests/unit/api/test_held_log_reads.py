from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from app.runs import logs
from backend_api import log_reads


async def test_a_server_that_stops_answers_whoever_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = asyncio.Event()

    async def nothing_yet(phase_id: str, offset: int, limit: int, hold: float) -> bytes:
        waits.set()
        await asyncio.Event().wait()
        return b"never"

    monkeypatch.setattr(logs, "read", nothing_yet)
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"offset=5", "headers": []})
    reading = asyncio.create_task(log_reads.read(request, "plan-0000000000000000"))
    await waits.wait()
    log_reads.end_held()
    answer = await asyncio.wait_for(reading, 10)
    assert (answer.status_code, answer.body) == (200, b"")
