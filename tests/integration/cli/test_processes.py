from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MANAGER = Path(__file__).with_name("stand_in_manager.py")
LONG = 30.0


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(holds: Callable[[], bool], seconds: float = LONG) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return holds()


class Standing:
    """A manager of three stand-ins, each of which writes what happens to it into a diary."""

    def __init__(self, directory: Path, *options: str, python: str = sys.executable) -> None:
        self.diary = directory / "diary"
        self.diary.touch()
        self.process = subprocess.Popen(
            [python, str(MANAGER), str(directory), *options],
            stdout=subprocess.PIPE,
            stderr=(directory / "said").open("wb"),
            start_new_session=True,
        )
        self.said = directory / "said"

    def entries(self) -> list[tuple[str, str, int]]:
        return [(name, what, int(pid)) for name, what, pid in map(str.split, self.diary.read_text().splitlines())]

    def pids(self, name: str) -> list[int]:
        return [pid for who, what, pid in self.entries() if who == name and what == "started"]

    def all_pids(self) -> list[int]:
        return [pid for _, what, pid in self.entries() if what == "started"]

    def wait_for(self, name: str, what: str, times: int = 1) -> None:
        def happened() -> bool:
            return len([1 for who, event, _ in self.entries() if (who, event) == (name, what)]) >= times

        assert eventually(happened), (name, what, self.entries(), self.said.read_text())

    def wait_until_up(self) -> None:
        for name in ("queue", "web", "worker"):
            self.wait_for(name, "started")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(LONG)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Standing]]:
    started: list[Standing] = []

    def begin(*options: str) -> Standing:
        standing = Standing(tmp_path, *options)
        started.append(standing)
        return standing

    yield begin
    for standing in started:
        standing.process.kill()
        standing.process.wait()
        assert standing.process.stdout is not None
        standing.process.stdout.close()
        for pid in standing.all_pids():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_stops_worker_then_web_then_queue(start: Callable[..., Standing]) -> None:
    standing = start()
    standing.wait_until_up()
    standing.send(signal.SIGTERM)
    assert standing.wait() == 0
    stops = [name for name, what, _ in standing.entries() if what == "SIGTERM"]
    assert stops == ["worker", "web", "queue"]
    assert not any(alive(pid) for pid in standing.all_pids())


def test_waits_for_the_worker_and_hurries_it_at_the_second_signal(start: Callable[..., Standing]) -> None:
    standing = start("worker-busy")
    standing.wait_until_up()
    standing.send(signal.SIGINT)
    standing.wait_for("worker", "SIGTERM")
    assert standing.process.poll() is None
    assert alive(standing.pids("web")[0])
    assert eventually(lambda: "waiting for worker; a second signal" in standing.said.read_text())
    standing.send(signal.SIGINT)
    assert standing.wait() == 0
    events = [(name, what) for name, what, _ in standing.entries()]
    assert events.index(("worker", "SIGUSR1")) < events.index(("web", "SIGTERM"))


def test_a_web_that_dies_while_the_worker_stops_is_started_again(start: Callable[..., Standing]) -> None:
    standing = start("worker-busy")
    standing.wait_until_up()
    standing.send(signal.SIGTERM)
    standing.wait_for("worker", "SIGTERM")
    os.kill(standing.pids("web")[0], signal.SIGKILL)
    standing.wait_for("web", "started", 2)
    standing.send(signal.SIGTERM)
    assert standing.wait() == 0


@pytest.mark.parametrize("name", ["queue", "web", "worker"])
def test_each_child_that_is_killed_is_started_again(start: Callable[..., Standing], name: str) -> None:
    standing = start()
    standing.wait_until_up()
    os.kill(standing.pids(name)[0], signal.SIGKILL)
    standing.wait_for(name, "started", 2)
    assert "SIGKILL; starting it again in 0.5 s" in standing.said.read_text()
    standing.send(signal.SIGTERM)
    assert standing.wait() == 0
    assert not any(alive(pid) for pid in standing.all_pids())


def test_pauses_between_restarts_double(start: Callable[..., Standing]) -> None:
    standing = start()
    standing.wait_until_up()
    for round_ in range(1, 4):
        os.kill(standing.pids("web")[-1], signal.SIGKILL)
        standing.wait_for("web", "started", round_ + 1)
    said = standing.said.read_text()
    assert [f"again in {pause} s" in said for pause in ("0.5", "1", "2")] == [True] * 3


@pytest.mark.parametrize("whole_group", [False, True], ids=["manager", "group"])
def test_kill_9_leaves_nothing_behind(start: Callable[..., Standing], whole_group: bool) -> None:
    standing = start()
    standing.wait_until_up()
    if whole_group:
        os.killpg(standing.process.pid, signal.SIGKILL)
    else:
        standing.process.kill()
    standing.wait()
    assert eventually(lambda: not any(alive(pid) for pid in standing.all_pids()))
    # The queue was asked, for it has something to write.
    assert ("queue", "SIGTERM") in [(name, what) for name, what, _ in standing.entries()]


def test_a_signal_to_the_whole_group_counts_once(start: Callable[..., Standing]) -> None:
    standing = start("worker-busy")
    standing.wait_until_up()
    os.killpg(standing.process.pid, signal.SIGINT)
    standing.wait_for("worker", "SIGTERM")
    os.killpg(standing.process.pid, signal.SIGINT)
    assert standing.wait() == 0
    events = [(name, what) for name, what, _ in standing.entries()]
    assert events.count(("worker", "SIGUSR1")) == 1
    assert not [event for event in events if event[1] == "SIGINT"]


def test_what_does_not_stop_in_time_is_killed(start: Callable[..., Standing]) -> None:
    standing = start("web-deaf")
    standing.wait_until_up()
    standing.send(signal.SIGTERM)
    assert standing.wait() == 0
    assert "web did not stop within" in standing.said.read_text()
    assert ("queue", "SIGTERM") in [(name, what) for name, what, _ in standing.entries()]


def test_a_child_that_refuses_to_start_stops_everything(start: Callable[..., Standing]) -> None:
    standing = start("web-refuses")
    assert standing.wait() == 1
    assert "web ended with status 3 before it was ready" in standing.said.read_text()
    assert not any(alive(pid) for pid in standing.all_pids())


def test_a_child_that_ends_after_it_was_ready_is_started_again(start: Callable[..., Standing]) -> None:
    standing = start("ready")
    assert standing.process.stdout is not None
    assert standing.process.stdout.readline() == b"ready\n"
    standing.wait_until_up()
    os.kill(standing.pids("worker")[0], signal.SIGUSR2)
    standing.wait_for("worker", "started", 2)
    assert "worker (process" in standing.said.read_text()
    assert "ended with status 5; starting it again" in standing.said.read_text()
    standing.send(signal.SIGTERM)
    assert standing.wait() == 0


def test_orphans_of_a_dead_child_are_buried(start: Callable[..., Standing]) -> None:
    standing = start("worker-parent")
    standing.wait_until_up()
    standing.wait_for("orphan", "started")
    orphan = standing.pids("orphan")[0]
    os.kill(standing.pids("worker")[0], signal.SIGKILL)
    standing.wait_for("worker", "started", 2)
    assert alive(orphan)
    os.kill(orphan, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{orphan}").exists()), "a zombie was left"
