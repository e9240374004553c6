"""A workspace's state during a phase: fetched and laid down before it, journaled during it, saved after it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from app.supervisor.api import Api, Away, Declined, Faulty, TokenRefused
from app.supervisor.collect import Refused, read_inside
from app.supervisor.control import JOURNAL, write_whole
from app.supervisor.journal import Journal, Sender, pauses
from app.supervisor.spec import Spec, StateResult
from app.supervisor.statefile import State, Unreadable, state_path
from app.supervisor.stop import Stop
from app.supervisor.upstream import Upstream

ERRORED = "errored.tfstate"

T = TypeVar("T")


class StateUnavailable(Exception):
    """The phase cannot begin; says why."""


class WorkspaceState:
    def __init__(self, spec: Spec, stop: Stop, control: Path) -> None:
        self._spec, self._stop, self._control = spec, stop, control
        self._upstream = Upstream(spec.api_url, spec.ca_file)
        self._api = Api(self._upstream, spec.token)
        self._relative = state_path(spec.workspace.name)
        self._base: State | None = None
        self._base_version: str | None = None
        self._journal: Journal | None = None
        self._sender: Sender | None = None

    def fetch(self) -> None:
        """Lay the current state where terraform looks for it; an empty directory if there is none."""
        place = Path(self._spec.directories.state, self._relative)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        base = self._patiently(self._current, self._spec.limits.read_seconds)
        expected = self._spec.state_version
        if expected is not None and expected != (self._base_version or ""):
            raise StateUnavailable(
                f"The plan was made on state version {expected or 'none'}, and the current one is now "
                f"{self._base_version or 'none'}: plan again."
            )
        if base is not None:
            self._base = base
            with open(place, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(base.data)

    def _current(self) -> State | None:
        version = self._api.current_state(self._spec.workspace.id)
        self._base_version = version.id if version else None
        data = self._api.download(version, limit=self._spec.limits.document) if version else b""
        try:
            return State.parse(data) if data else None
        except Unreadable as error:
            raise StateUnavailable(
                f"The workspace's current state, {self._base_version}, is no Terraform state: {error}. Go back to an"
                " earlier state version, or send a right one with a higher serial."
            ) from error

    def _patiently(self, call: Callable[[], T], seconds: float) -> T:
        deadline = time.monotonic() + seconds
        for pause in pauses():
            try:
                return call()
            except Away as error:
                if time.monotonic() + pause > deadline or self._stop.interrupted:
                    raise StateUnavailable(f"The workspace's state cannot be read. {error}") from error
                self._stop.wait(pause)
            except (TokenRefused, Declined, ValueError) as error:
                raise StateUnavailable(f"The workspace's state cannot be read. {error}") from error
        raise AssertionError("there is always another pause")

    def watch(self) -> None:
        """Keep the journal from now on."""
        limit = self._spec.limits.document
        self._journal = Journal(self._spec.directories.state, self._relative, self._control, limit=limit)
        api = Api(self._upstream, self._spec.token)
        self._sender = Sender(api, self._spec.workspace.id, lambda: self._stop.interrupt("token-refused"))
        self._journal.start()
        self._journal.send(self._sender)

    def unchanged(self) -> StateResult:
        base = self._base
        return StateResult(
            self._base_version, serial=base.serial if base else None, lineage=base.lineage if base else None
        )

    def save(self) -> StateResult:
        """Make what terraform left the workspace's state, or keep it and say why that could not be done."""
        if self._journal is None or self._sender is None:
            return self.unchanged()
        self._journal.stop()
        self._journal.look()
        errored = self._errored()
        state = max(
            filter(None, (self._written(), self._journal.latest, self._fitting(errored))),
            key=lambda state: state.serial,
            default=None,
        )
        if state is None or (self._base and state.data == self._base.data):
            found = self.unchanged()
        else:
            found = self._offer(state)
        if errored is not None and (state is None or errored.data != state.data) and not found.left:
            why = f"Terraform could not write its state and left {ERRORED}, which does not follow it."
            found = replace(found, left=self._put_by(errored, ERRORED), why=why)
        return replace(found, snapshots=self._sender.snapshots)

    def _written(self) -> State | None:
        return self._read(self._spec.directories.state, self._relative)

    def _errored(self) -> State | None:
        path = os.path.join(self._spec.directories.working, ERRORED)
        return self._read(self._spec.directories.config, path)

    def _fitting(self, state: State | None) -> State | None:
        if state and self._base and state.lineage != self._base.lineage:
            return None
        return state

    def _read(self, directory: str, relative: str) -> State | None:
        try:
            return State.parse(read_inside(directory, relative, limit=self._spec.limits.document))
        except (FileNotFoundError, Refused, Unreadable):
            return None

    def _offer(self, state: State) -> StateResult:
        left = self._put_by(state, JOURNAL)
        found = StateResult(self._base_version, serial=state.serial, lineage=state.lineage)
        if self._stop.reason == "token-refused":
            return replace(found, left=left, why="Stateroom refused the run's token.")
        deadline = time.monotonic() + self._spec.limits.save_seconds
        for pause in pauses():
            try:
                version = self._api.save(self._spec.workspace.id, state, intermediate=False)
                return replace(found, uploaded_version=version)
            except (TokenRefused, Declined, ValueError) as error:
                return replace(found, left=left, why=str(error))
            except Away as error:
                if isinstance(error, Faulty):
                    deadline = min(deadline, time.monotonic() + self._spec.limits.fault_seconds)
                if time.monotonic() + pause > deadline or self._stop.killed:
                    return replace(found, left=left, why=str(error))
            self._pause(pause)
        raise AssertionError("there is always another pause")

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stop.killed and time.monotonic() < until:
            self._stop.wait(until - time.monotonic())

    def _put_by(self, state: State, name: str) -> str:
        """The path of a file of ours that holds *state*."""
        try:
            write_whole(self._control / name, state.data)
        except OSError:  # a full disk: then it stays where it is
            return os.path.join(self._spec.directories.state, self._relative)
        return str(self._control / name)
