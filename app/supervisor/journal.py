"""Copies of the state while an apply runs, so that no finished resource is ever lost.

One thread watches the file and keeps its last whole version beside it, out of the run's reach.  Another sends that to
the API every few seconds, gives the sign of life, and hears when the token is refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from app.supervisor.api import Api, Away, Declined, TokenRefused
from app.supervisor.control import JOURNAL, write_whole
from app.supervisor.statefile import Stamp, State, Unreadable, read_stable, stamp

LOOK_SECONDS = 0.05
SLOWEST_LOOK = 10.0
SNAPSHOT_SECONDS = 5.0
LIFE_SECONDS = 60.0
FIRST_RETRY, LAST_RETRY = 1.0, 30.0


class Journal:
    """Watches one state file.  `stop` it before the last state is saved."""

    def __init__(self, directory: str, relative: str, control: Path, *, limit: int) -> None:
        self._directory, self._relative, self._limit = directory, relative, limit
        self._copy = control / JOURNAL
        self._seen = stamp(directory, relative)
        self._wait = LOOK_SECONDS
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.latest: State | None = None
        self.changed = threading.Event()

    def start(self) -> None:
        self._begin(self._watch)

    def send(self, sender: Sender) -> None:
        """Send what there is to the API as long as the journal is kept."""
        self._begin(lambda: sender.run(self, self._over))

    def _begin(self, task: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=task, daemon=True))
        self._threads[-1].start()

    def stop(self) -> None:
        self._over.set()
        self.changed.set()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._wait):
            self.look()

    def look(self) -> None:
        """Copy the state if it has changed and is whole.  A large one may take a tenth of the time, not more."""
        now = stamp(self._directory, self._relative)
        if now is None or now == self._seen:
            return
        began = time.monotonic()
        found = read_stable(self._directory, self._relative, limit=self._limit)
        if found is not None:
            self._keep(*found)
        self._wait = min(SLOWEST_LOOK, max(LOOK_SECONDS, 10 * (time.monotonic() - began)))

    def _keep(self, data: bytes, seen: Stamp) -> None:
        try:
            state = State.parse(data)
            write_whole(self._copy, data)
        except (Unreadable, OSError):
            return  # not a state, or a full disk: the next change is another chance
        self._seen, self.latest = seen, state
        self.changed.set()


class Sender:
    """Takes snapshots to the API."""

    def __init__(self, api: Api, workspace: str, refused: Callable[[], None]) -> None:
        self._api, self._workspace, self._refused = api, workspace, refused
        self.sent: State | None = None
        self.snapshots = 0

    def run(self, journal: Journal, over: threading.Event) -> None:
        """Until *over*: each new state, at most every few seconds, and something at least every minute."""
        used = time.monotonic()
        over.wait(SNAPSHOT_SECONDS)  # a short apply has its last state alone
        while not over.is_set():
            journal.changed.wait(max(0.0, used + LIFE_SECONDS - time.monotonic()))
            if over.is_set():
                return
            journal.changed.clear()
            if not self._try(journal, over):
                return
            used = time.monotonic()
            over.wait(SNAPSHOT_SECONDS)

    def _try(self, journal: Journal, over: threading.Event) -> bool:
        """One snapshot, or one sign of life, as often as it takes; False if there is no use in going on."""
        for pause in pauses():
            try:
                self._once(journal.latest)
            except TokenRefused:
                self._refused()
                return False
            except Declined:
                return True  # this one does not fit; the last state will say so
            except Away:
                over.wait(pause)
                if not over.is_set():
                    continue
            return True
        return True

    def _once(self, state: State | None) -> None:
        if state is None or state is self.sent:
            self._api.sign_of_life(self._workspace)
            return
        self._api.save(self._workspace, state, intermediate=True)
        self.sent = state
        self.snapshots += 1


def pauses() -> Iterator[float]:
    """How long to wait before each further try: doubling, up to half a minute."""
    pause = FIRST_RETRY
    while True:
        yield pause
        pause = min(2 * pause, LAST_RETRY)
