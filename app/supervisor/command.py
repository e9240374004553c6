"""See one command through: its output, its end, and everything that may be asked of it meanwhile."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.supervisor.sandbox import Running
from app.supervisor.stop import Stop

CHUNK = 65536
INTERRUPT_TO_KILL = 2.0
LONGEST_SLEEP = 3600.0
LINGER = 2.0
"""How long output is awaited after the command has ended: something it left may hold the pipe."""

Sink = Callable[[bytes], None]


def see_through(running: Running, stop: Stop, output: Sink, *, grace: float, document: Sink | None = None) -> int:
    """Return *running*'s exit code, with all it said handed to *output* and *document*."""
    pressure = _Pressure(running, stop, grace)
    sinks = {running.output: output}
    if running.document is not None and document is not None:
        sinks[running.document] = document
    code: int | None = None
    given_up = float("inf")
    try:
        with _selector(running, stop, sinks) as selector:
            while sinks or code is None:
                for key, _ in selector.select(min(pressure.patience(), max(0.0, given_up - time.monotonic()))):
                    if key.fd in sinks and not _pass_on(key.fd, sinks[key.fd]):
                        selector.unregister(key.fd)
                        del sinks[key.fd]
                    elif key.fd == running.ended and code is None:
                        selector.unregister(running.ended)
                        code = running.wait()
                        given_up = time.monotonic() + LINGER
                stop.heard()
                stop.check()
                if code is None:
                    pressure.apply()
                elif time.monotonic() >= given_up:
                    break
    finally:
        if code is None:
            running.destroy()
            running.wait()
        os.close(running.output)
        if running.document is not None:
            os.close(running.document)
    return code


@contextmanager
def _selector(running: Running, stop: Stop, sinks: dict[int, Sink]) -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        for descriptor in (*sinks, running.ended, stop.wakeup):
            selector.register(descriptor, selectors.EVENT_READ)
        if stop.line is not None:
            selector.register(stop.line, selectors.EVENT_READ)
        yield selector


def _pass_on(descriptor: int, sink: Sink) -> bool:
    data = os.read(descriptor, CHUNK)
    if data:
        sink(data)
    return bool(data)


class _Pressure:
    """From one interrupt, which lets terraform save what it has, to the end of everything."""

    def __init__(self, running: Running, stop: Stop, grace: float) -> None:
        self._running, self._stop, self._grace = running, stop, grace
        self._interrupts = 0
        self._kill_at = self._force_at = float("inf")

    def patience(self) -> float:
        """How long nothing needs to be done."""
        if self._interrupts < self._wanted():
            return 0.02  # terraform was not there yet when it was last tried
        next_time = min(self._kill_at, self._force_at, self._next_deadline())
        return max(0.0, min(next_time - time.monotonic(), LONGEST_SLEEP))

    def _next_deadline(self) -> float:
        return float("inf") if self._stop.interrupted else self._stop.deadline

    def _wanted(self) -> int:
        return 2 if self._stop.killed else 1 if self._stop.interrupted else 0

    def apply(self) -> None:
        now = time.monotonic()
        if now >= self._force_at:
            self._stop.kill()
        if self._interrupts < self._wanted() and self._running.signal(signal.SIGINT):
            self._interrupts += 1
            if self._stop.reason in ("timed-out", "token-refused"):
                self._force_at = min(self._force_at, now + self._grace)
        if self._stop.killed:
            self._force_at = float("inf")
            self._kill_at = min(self._kill_at, now + INTERRUPT_TO_KILL)
        if now >= self._kill_at:
            self._running.destroy()
            self._kill_at = float("inf")
