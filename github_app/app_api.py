"""What an app asks of GitHub about itself: where it is installed, and which repositories each installation sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from github_app import payloads
from github_app.client import Answer, Call, Client, Grant, Unreachable

PAGE = 100
#: To list repositories nothing else is needed.
LISTING = (("metadata", "read"),)
#: A list that changes while it is read is read anew, so often.
READINGS = 3

Body = TypeVar("Body")
Ask = Callable[[Call], Awaitable[Answer]]


class _Repositories(msgspec.Struct):
    total_count: int
    repositories: list[payloads.Repository]


async def installation(ours: Client, number: int) -> payloads.Installation | None:
    """None once it was deleted."""
    answer = await ours.as_app(Call("GET", f"/app/installations/{number}"))
    return None if answer.status == 404 else answer.read(payloads.Installation)


async def installation_numbers(ours: Client) -> set[int]:
    """Those there are, suspended ones too."""
    listed = pages(ours.as_app, "/app/installations", list[payloads.InstallationRef])
    return {one.id async for page in listed for one in page}


async def repositories(ours: Client, number: int) -> dict[int, payloads.Repository]:
    """All that the installation sees, by number.  Raises `NoToken` where it is suspended or gone, Unreachable for a
    list that does not come whole: what is missing from a part of it may be there."""
    grant = Grant(number, LISTING)
    for _ in range(READINGS):
        seen: dict[int, payloads.Repository] = {}
        count = 0
        async for page in pages(
            lambda call: ours.as_installation(grant, call), "/installation/repositories", _Repositories
        ):
            count = page.total_count
            seen.update((one.id, one) for one in page.repositories)
        if len(seen) >= count:
            return seen
    raise Unreachable(f"GitHub lists {len(seen)} of the {count} repositories that installation {number} sees.")


async def pages(ask: Ask, path: str, model: type[Body]) -> AsyncIterator[Body]:
    """Page after page of a list, each as *model*, by way of *ask*."""
    number = 1
    while True:
        answer = await ask(Call("GET", path, {"per_page": PAGE, "page": number}))
        yield answer.read(model)
        if 'rel="next"' not in answer.headers.get("link", ""):
            return
        number += 1
