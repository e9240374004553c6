"""How a lower part tells a higher one that something happened, without knowing it.

`app/wiring.py` says who listens.  A listener may hear an event twice, and none at all if the process dies
in between; so it does nothing slow, and whatever it does can be done again.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

log = structlog.get_logger(__name__)

Listener = Callable[[Any], Awaitable[None] | None]


class Announcement:
    """One kind of event and those who want to hear of it, in the order they asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._listeners: list[Listener] = []

    def when(self, *listeners: Listener) -> None:
        """Add *listeners*; one that listens already is not added again."""
        for listener in listeners:
            if listener not in self._listeners:
                self._listeners.append(listener)

    async def announce(self, event: Any) -> bool:
        """Tell everyone, one after the other.  True if all of them took it; a failure is logged and stops
        nobody."""
        heard = True
        for listener in tuple(self._listeners):
            try:
                answer = listener(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception:
                heard = False
                log.exception("listener failed", announcement=self.name, listener=_name(listener))
        return heard

    def forget(self) -> None:
        """Nobody listens any more (for tests and a second start in one process)."""
        self._listeners.clear()


#: Each says what its listeners are handed.
run_moved = Announcement("run moved")  # the RunEvent, its `run` loaded
run_wished = Announcement("run wished")  # the Run somebody wants to end
workspace_freed = Announcement("workspace freed")  # the workspace's id
organization_deleted = Announcement("organization deleted")  # the organization's id
workspace_deleted = Announcement("workspace deleted")  # the workspace's id
state_changed = Announcement("state changed")  # the workspace's id: another state version is current

when_run_moves = run_moved.when
when_run_is_wished = run_wished.when
when_workspace_frees = workspace_freed.when
when_organization_is_deleted = organization_deleted.when
when_workspace_is_deleted = workspace_deleted.when
when_state_changes = state_changed.when
announce = run_moved.announce


def _name(listener: Listener) -> str:
    return f"{listener.__module__}.{getattr(listener, '__qualname__', type(listener).__name__)}"
