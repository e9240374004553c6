"""Runs the process manager over three small programs that write down what happens to them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from app.cli.processes import Manager, Program  # noqa: E402

STAND_IN = """
import os, signal, sys, time
name, diary, mode = sys.argv[1:4]
def note(what):
    with open(diary, "a") as file:
        file.write(f"{name} {what} {os.getpid()}\\n")
def handle(number, frame):
    note(signal.Signals(number).name)
    if number == signal.SIGUSR2:
        os._exit(5)
    if mode == "deaf" or (mode == "busy" and number != signal.SIGUSR1):
        return
    os._exit(0)
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, handle)
if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, handle)
note("started")
if mode == "refuses":
    os._exit(3)
if mode == "parent" and os.fork() == 0:
    name = "orphan"
    os.setsid()
    note("started")
if len(sys.argv) > 4:
    os.write(int(sys.argv[4]), b"1")
while True:
    signal.pause()
"""


def main() -> None:
    directory, modes = Path(sys.argv[1]), sys.argv[2:]
    reader, writer = os.pipe()

    def program(name: str, **settings: object) -> Program:
        mode = next((m.partition("-")[2] for m in modes if m.startswith(name)), "plain")
        tell = (str(writer),) if name == "web" and "ready" in modes else ()
        argv = (sys.executable, "-c", STAND_IN, name, str(directory / "diary"), mode, *tell)
        return Program(name, argv, os.environ, inherits=(writer,), **settings)  # type: ignore[arg-type]

    manager = Manager(
        (
            program("queue", dies_by=signal.SIGTERM),
            program("web", stops_within=1.0, own_group=False),
            program("worker", stops_within=None, hurry=signal.SIGUSR1, own_group=False),
        ),
        say=lambda line: print(line, file=sys.stderr, flush=True),
        ready=reader,
        when_ready=lambda: print("ready", flush=True),
    )
    sys.exit(manager.run())


if __name__ == "__main__":
    main()
