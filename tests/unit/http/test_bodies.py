from __future__ import annotations

import hashlib

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from app.errors import TooLarge
from app.http.bodies import Upload, whole
from app.http.limits import Limit, readable

LIMIT = Limit("A test", 10, "STATEROOM_MAX_TEST")


def request(*chunks: bytes, length: int | None = None, gone: bool = False) -> Request:
    inbox: list[Message] = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    inbox.append({"type": "http.disconnect"} if gone else {"type": "http.request", "body": b""})

    async def receive() -> Message:
        return inbox.pop(0)

    headers = [(b"content-length", str(length).encode())] if length is not None else []
    return Request({"type": "http", "method": "PUT", "path": "/", "headers": headers}, receive)


async def test_an_upload_is_measured_and_hashed_as_it_passes() -> None:
    upload = Upload(request(b"hello ", b"you"), LIMIT)

    assert [chunk async for chunk in upload] == [b"hello ", b"you"]
    assert upload.size == 9
    assert upload.md5 == hashlib.md5(b"hello you").hexdigest()
    assert upload.sha256 == hashlib.sha256(b"hello you").hexdigest()


async def test_the_chunk_that_breaks_the_limit_is_not_passed_on() -> None:
    upload = aiter(Upload(request(b"123456", b"789012"), LIMIT))

    assert await anext(upload) == b"123456"
    with pytest.raises(TooLarge, match=r"A test may be 10 bytes long at most \(setting STATEROOM_MAX_TEST\)"):
        await anext(upload)


async def test_an_announced_length_over_the_limit_is_refused_unread() -> None:
    untouched = request(b"1", length=11)
    with pytest.raises(TooLarge):
        await whole(untouched, LIMIT)
    assert await untouched.body() == b"1"


async def test_a_client_that_goes_away_does_not_look_like_the_end() -> None:
    with pytest.raises(ClientDisconnect):
        await whole(request(b"1", gone=True), LIMIT)


async def test_a_body_as_long_as_its_limit_is_read() -> None:
    assert await whole(request(b"12345", b"67890", length=10), LIMIT) == b"1234567890"


@pytest.mark.parametrize(
    ("size", "text"),
    [(2 * 1024**2, "2 MiB"), (1024**3, "1 GiB"), (256 * 1024, "256 KiB"), (1500, "1500 bytes")],
)
def test_a_limit_is_named_as_people_say_it(size: int, text: str) -> None:
    assert readable(size) == text
