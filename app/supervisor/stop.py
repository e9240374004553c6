"""What has been asked of a phase besides doing its work: to be interrupted, to be killed, to go with its worker."""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from app.supervisor.spec import Reason


class WorkerGone(BaseException):
    """The worker this phase belongs to is no more.  Not an error to be handled on the way."""


class Stop:
    """Set by signals, threads and clocks; read by the one loop that acts on it.

    SIGINT and SIGTERM ask as a cancel does, SIGUSR1 as a forced one.
    """

    def __init__(self, line: socket.socket | None, deadline: float) -> None:
        self.line = line
        self.deadline = deadline
        self.interrupted = self.killed = False
        self.reason: Reason = ""
        self.wakeup, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def listen(self) -> None:
        signal.signal(signal.SIGINT, lambda *_: self.interrupt("interrupted"))
        signal.signal(signal.SIGTERM, lambda *_: self.interrupt("interrupted"))
        signal.signal(signal.SIGUSR1, lambda *_: self.kill())
        for ignored in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)

    def interrupt(self, reason: Reason) -> None:
        self.interrupted = True
        self.reason = self.reason or reason
        self._wake()

    def kill(self) -> None:
        self.interrupted = self.killed = True
        self.reason = "killed" if self.reason in ("", "interrupted") else self.reason
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._waker, b"!")
        except BlockingIOError:
            pass  # enough are there

    def heard(self) -> None:
        """Forget that it was woken; what was asked stays."""
        try:
            os.read(self.wakeup, 4096)
        except BlockingIOError:
            pass

    def check(self) -> None:
        """Notice the time, and the worker's end."""
        if time.monotonic() >= self.deadline and not self.interrupted:
            self.interrupt("timed-out")
        if self.line is not None and select.select([self.line], [], [], 0)[0]:
            raise WorkerGone

    def wait(self, seconds: float) -> None:
        """Let time pass, but not after something has been asked."""
        lines = [self.wakeup] if self.line is None else [self.wakeup, self.line.fileno()]
        if not self.interrupted:
            seconds = min(seconds, self.deadline - time.monotonic())
        select.select(lines, [], [], max(0.0, seconds))
        self.heard()
        self.check()
