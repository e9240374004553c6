"""A small process manager: starts programs, starts again what ends, and ends all of them in order.

It is bound to its children both ways.  When it ends, however it ends, the kernel signals each of them
(PDEATHSIG); when it is told to end, it stops them in the reverse order of their start, each only when the one
before is gone.  No threads: the kernel ties PDEATHSIG to the thread that forked.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
#: A program that stops for so long has something to finish, and one may want to know how to hurry it.
WORTH_A_WORD = 1.0
#: A program that ran this long has started well: its next restart is quick again.
SETTLED_AFTER = 30.0
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
#: What a terminal sends to its whole group; the manager alone decides what that means.
TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP)

#: How this program starts itself: never from the current directory, which may hold another `app`.
COMMAND = (sys.executable, "-P", "-m", "app.cli.main")

_libc = ctypes.CDLL(None, use_errno=True)


def python_path() -> dict[str, str]:
    """What a Python of ours needs in its environment to find this package where it is not installed."""
    root = str(Path(__file__).parents[2])
    if root == sysconfig.get_path("purelib"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


def dies_with_us(by: signal.Signals) -> Callable[[], None]:
    """For a child, between fork and exec: let the kernel send it *by* when this process is gone."""
    parent = os.getpid()

    def tie() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(by), 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be told to tell us
            os._exit(1)

    return tie


@dataclass(frozen=True)
class Program:
    """What is to run, and how it is told to end."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path | None = None
    #: Sent by the kernel when the manager is gone.
    dies_by: signal.Signals = signal.SIGKILL
    #: Seconds it may take to stop before it is killed; None: as long as it takes.
    stops_within: float | None = 10.0
    #: What the second request to stop sends it, if it is still stopping then.
    hurry: signal.Signals | None = None
    #: Descriptors it keeps.
    inherits: tuple[int, ...] = ()
    #: A process group of its own: what is sent to ours, we alone pass on.
    own_group: bool = True
    umask: int = 0o077
    #: Where what it says goes, if not to our standard error.
    output: Path | None = None

    @property
    def said_why(self) -> str:
        return f"{self.output} may say why" if self.output else "it has said why"


@dataclass
class Child:
    """A program, its present process, and when it is to be started again."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE
    due: float | None = 0.0
    asked_to_stop_at: float | None = None
    waited_for_aloud: bool = False

    @property
    def running(self) -> bool:
        return self.process is not None

    def send(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)


@dataclass
class Manager:
    """Runs *programs* until told to stop.  *say* gets a line for people whenever something happens.

    A byte on *ready* (a descriptor) calls *when_ready* once.  A program that ends with an exit status before
    that has said why and would say it again: everything stops and `run` returns 1.
    """

    programs: Sequence[Program]
    say: Callable[[str], None]
    ready: int | None = None
    when_ready: Callable[[], None] = lambda: None
    #: What is wrong with the machine, if that can be seen: a child may have had no room to say it.
    trouble: Callable[[], str | None] = lambda: None
    children: list[Child] = field(init=False)
    #: Those still to be stopped, the next one last; None while everything is to run.
    stopping: list[Child] | None = field(init=False, default=None)
    status: int = field(init=False, default=0)
    was_ready: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.children = [Child(program) for program in self.programs]

    def run(self) -> int:
        """Start everything and watch it.  Returns the exit status when all have ended."""
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with _signals() as wakeup, selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ, self._signalled)
            if self.ready is not None:
                selector.register(self.ready, selectors.EVENT_READ, self._heard)
            while not self._finished():
                self._start_what_is_due()
                for key, _ in selector.select(self._patience()):
                    key.data(key.fd)
                self._reap()
                self._stop_next()
        return self.status

    def stop(self) -> None:
        """The first time, stop everything; again, hurry whoever can be hurried."""
        if self.stopping is None:
            self.stopping = list(self.children)
            return
        for child in self.children:
            if child.running and child.asked_to_stop_at is not None and child.program.hurry is not None:
                self.say(f"{child.program.name}: interrupting what still runs")
                child.send(child.program.hurry)

    def _finished(self) -> bool:
        return self.stopping is not None and not self.stopping

    def _signalled(self, wakeup: int) -> None:
        for number in os.read(wakeup, 4096):
            if number in STOP_SIGNALS:
                self.stop()

    def _heard(self, ready: int) -> None:
        os.read(ready, 4096)
        if not self.was_ready:
            self.was_ready = True
            self.when_ready()

    def _patience(self) -> float | None:
        """How long nothing can happen by itself."""
        moments = [child.due for child in self._wanted() if not child.running and child.due is not None]
        current = self.stopping[-1] if self.stopping else None
        if current and current.asked_to_stop_at is not None:
            if current.program.stops_within is not None:
                moments.append(current.asked_to_stop_at + current.program.stops_within)
            if current.program.hurry is not None and not current.waited_for_aloud:
                moments.append(current.asked_to_stop_at + WORTH_A_WORD)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _wanted(self) -> list[Child]:
        """Those that should run: while one is being stopped, the ones it needs to stop well."""
        return self.children if self.stopping is None else self.stopping[:-1]

    def _start_what_is_due(self) -> None:
        for child in self._wanted():
            if not child.running and child.due is not None and child.due <= time.monotonic():
                child.process = _start(child.program)
                child.started_at, child.due = time.monotonic(), None

    def _reap(self) -> None:
        """Bury our own, and the orphans that became ours."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            child = next((c for c in self.children if c.process and c.process.pid == ended.si_pid), None)
            if child is None:
                os.waitpid(ended.si_pid, 0)
            else:
                self._ended(child)

    def _ended(self, child: Child) -> None:
        assert child.process is not None
        pid, code = child.process.pid, child.process.wait()
        child.process = None
        if child.asked_to_stop_at is not None:
            return
        if code > 0 and not self.was_ready and self.stopping is None:
            why = self.trouble() or child.program.said_why
            self.say(f"{child.program.name} ended with status {code} before it was ready; {why}")
            self.status = 1
            self.stop()
            return
        now = time.monotonic()
        pause = FIRST_PAUSE if now - child.started_at >= SETTLED_AFTER else child.pause
        child.due, child.pause = now + pause, min(pause * 2, LONGEST_PAUSE)
        self.say(f"{child.program.name} (process {pid}) {_how(code)}; starting it again in {pause:g} s")

    def _stop_next(self) -> None:
        """Go on with stopping: ask the next, kill what was given long enough, forget what is gone."""
        while self.stopping:
            child = self.stopping[-1]
            if not child.running:
                self.stopping.pop()
                continue
            limit = child.program.stops_within
            if child.asked_to_stop_at is None:
                child.asked_to_stop_at = time.monotonic()
                child.send(signal.SIGTERM)
            elif child.program.hurry is not None and not child.waited_for_aloud:
                if time.monotonic() >= child.asked_to_stop_at + WORTH_A_WORD:
                    child.waited_for_aloud = True
                    self.say(f"waiting for {child.program.name}; a second signal interrupts what it still does")
            elif limit is not None and time.monotonic() >= child.asked_to_stop_at + limit:
                self.say(f"{child.program.name} did not stop within {limit:g} s; killing it")
                child.send(signal.SIGKILL)
                child.asked_to_stop_at = time.monotonic()
            return


def _start(program: Program) -> subprocess.Popen[bytes]:
    """Start it, tied to us.  Signals are held: between fork and exec the child still has our handlers."""
    bind = dies_with_us(program.dies_by)

    def tie() -> None:
        bind()
        for number in STOP_SIGNALS | {signal.SIGCHLD}:
            signal.signal(number, signal.SIG_DFL)
        for number in TERMINAL_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS | {signal.SIGCHLD})
    output = program.output.open("ab") if program.output else None
    try:
        return subprocess.Popen(
            list(program.argv),
            env=dict(program.environment),
            cwd=program.directory,
            stdin=subprocess.DEVNULL,
            stdout=output or sys.stderr,  # our own standard output has one line, for scripts
            stderr=output,
            pass_fds=program.inherits,
            preexec_fn=tie,
            umask=program.umask,
            process_group=0 if program.own_group else None,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if output is not None:
            output.close()


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


@contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that gives the number of each signal we care about, one byte each."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, _note) for number in STOP_SIGNALS | {signal.SIGCHLD}}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _note(number: int, frame: object) -> None:
    """The wakeup descriptor has it already."""
