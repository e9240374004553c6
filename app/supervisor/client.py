"""What a worker holds: the spawner, and the phases that run under it.  The only part of this package with asyncio."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

from app.supervisor import control, leftovers, sandbox, wire
from app.supervisor.control import Identity
from app.supervisor.spec import Result, Spec, StateResult
from app.supervisor.statefile import newest_left

_START_SECONDS = 60
_END_SECONDS = 10


class CannotLaunch(Exception):
    """No supervisor could be started for a phase; says why."""


class SpawnerGone(Exception):
    """The spawner ended before it answered."""


class Phase:
    """One phase under its supervisor, launched here or found again."""

    def __init__(self, directory: Path, pid: int, handle: int, line: socket.socket | None = None) -> None:
        self.control = directory
        self.pid = pid
        self._handle = handle
        self._line = line

    async def wait(self) -> Result:
        """Until the supervisor is gone.  One that left no result has `lost`: see its `state`."""
        if self._handle >= 0:
            await _readable(self._handle)
            self._let_go()
        return await asyncio.to_thread(result_of, self.control)

    @property
    def is_over(self) -> bool:
        return not control.is_supervised(self.control)

    def interrupt(self) -> None:
        """As a cancel does: terraform saves what it has and ends."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """As a forced cancel does: a second interrupt, and two seconds later the end of everything."""
        self._signal(signal.SIGUSR1)

    def abandon(self) -> None:
        """Let a plan go down now; an apply goes on without us."""
        self._let_go_line()

    def _signal(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._handle, number)
        except OSError:
            pass  # it has ended by itself

    def _let_go(self) -> None:
        os.close(self._handle)
        self._handle = -1
        self._let_go_line()

    def _let_go_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def adopt(directory: str | Path) -> Phase | None:
    """The phase whose control directory this is, if its supervisor is alive; for a worker that was not its own."""
    path = Path(directory)
    known = control.identity(path)
    if known is None or not control.is_supervised(path):
        return None
    try:
        handle = os.pidfd_open(known.pid)
    except ProcessLookupError:
        return None
    if known.is_alive():  # asked with the handle in hand, so the pid cannot have become another's since
        return Phase(path, known.pid, handle)
    os.close(handle)
    return None


def result_of(directory: str | Path) -> Result:
    """How a phase without a supervisor ended, be it by its own word or by what it left lying.

    What it left running is ended first.
    """
    path = Path(directory)
    if (found := control.result(path)) is not None:
        return found
    end_what_runs(path)
    known = control.identity(path)
    log = path / control.LOG
    return Result(
        "lost",
        message="The process that looked after this phase ended before it had a result.",
        log_length=log.stat().st_size if log.exists() else 0,
        state=StateResult() if known is None or known.phase == "plan" else _left(path, known),
    )


def end_what_runs(directory: Path) -> None:
    """End what a phase without a sandbox left running, whose supervisor died before it could do so itself."""
    cli_config = sandbox.unsandboxed_cli_config(directory)
    if os.path.exists(cli_config):
        leftovers.end_marked(cli_config)


def _left(path: Path, known: Identity) -> StateResult:
    state, where = newest_left(path, known.state_directory, known.workspace)
    if state is None:
        return StateResult()
    why = "The process that looked after this phase ended before it had saved it."
    return StateResult(serial=state.serial, lineage=state.lineage, left=where, why=why)


class Spawner:
    """Launches phases.  Its process is started when it is needed, again if it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        async with self._one_at_a_time:
            await self._ensure()

    async def launch(self, spec: Spec, *, outlives_worker: bool) -> Phase:
        """Begin *spec*; it has claimed its control directory and runs when this returns."""
        if outlives_worker != (spec.phase == "apply"):
            raise ValueError("an apply outlives its worker, a plan does not")
        async with self._one_at_a_time:
            try:
                return await self._order(spec)
            except SpawnerGone:
                await self._discard()
            if (phase := adopt(spec.directories.control)) is not None:
                return phase
            return await self._order(spec)

    async def close(self) -> None:
        async with self._one_at_a_time:
            await self._discard()

    async def _order(self, spec: Spec) -> Phase:
        connection = await self._ensure()
        ours, theirs = socket.socketpair()
        ours.settimeout(_START_SECONDS)
        try:
            with theirs:
                pid, handle = await asyncio.to_thread(_hand_over, connection, spec.encode(), theirs)
            phase = Phase(Path(spec.directories.control), pid, handle, ours)
            said = await asyncio.to_thread(ours.recv, 4096)
        except BaseException:
            ours.close()
            raise
        if said != b"+":
            ours.close()
            raise CannotLaunch(said[1:].decode(errors="replace") or "The supervisor ended before it had begun.")
        if spec.phase == "apply":
            phase.abandon()
        return phase

    async def _ensure(self) -> socket.socket:
        if self._socket is not None and self._process is not None and self._process.returncode is None:
            return self._socket
        await self._discard()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "app.supervisor.spawner", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )
        self._socket = ours
        ours.settimeout(_START_SECONDS)
        ready = await asyncio.to_thread(wire.receive, ours)
        if ready is None:
            await self._discard()
            raise CannotLaunch("The spawner could not be started; its own words are on the worker's stderr.")
        return ours

    async def _discard(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
            self._process = None


def _hand_over(connection: socket.socket, order: bytes, line: socket.socket) -> tuple[int, int]:
    try:
        wire.send(connection, order, [line.fileno()])
        answer = wire.receive(connection, descriptors=1)
    except (BrokenPipeError, ConnectionResetError):
        answer = None
    if answer is None:
        raise SpawnerGone
    data, descriptors = answer
    return json.loads(data)["pid"], descriptors[0]


def _environment() -> dict[str, str]:
    """Nothing of the worker's settings, which hold passwords; only what finds this package."""
    here = str(Path(__file__).resolve().parents[2])
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONPATH": here}


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
