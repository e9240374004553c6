"""How much memory a server holds: the resident sets of its processes, taken from the kernel."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


def resident(root: int) -> Mapping[int, int]:
    """Bytes resident in the process *root* and each that descends from it."""
    return {process: _resident_of(process) for process in {root, *_descendants(root)}}


def _descendants(root: int) -> set[int]:
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found: set[int] = set()
    wanted = {root}
    while wanted:
        wanted = {process for process, parent in parents.items() if parent in wanted and process not in found}
        found |= wanted
    return found


def _parent(process: Path) -> int:
    after_name = _read(process / "stat").rpartition(")")[2].split()
    return int(after_name[1]) if after_name else 0


def _resident_of(process: int) -> int:
    status = _read(Path(f"/proc/{process}/status"))
    pages = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(pages[0]) * 1024 if pages else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended meanwhile
        return ""


@dataclass
class Peak:
    """The most that was resident at one moment while one looked, and what was before; by process."""

    before: Mapping[int, int]
    highest: Mapping[int, int]

    @property
    def growth(self) -> int:
        return sum(self.highest.values()) - sum(self.before.values())

    def look(self, root: int) -> None:
        now = resident(root)
        if sum(now.values()) > sum(self.highest.values()):
            self.highest = now

    def shares(self) -> str:
        """Which process grew by how much."""
        grown = {process: size - self.before.get(process, 0) for process, size in self.highest.items()}
        return ", ".join(f"{_name(process)} {size / MIB:+.0f}" for process, size in grown.items() if abs(size) > MIB)


def _name(process: int) -> str:
    """What a process is: which of our commands, else which program."""
    words = _read(Path(f"/proc/{process}/cmdline")).split("\0")
    return next((word for word in ("serve", "worker", "up") if word in words), Path(words[0]).name)


@contextlib.contextmanager
def peak(root: int, every: float = 0.05) -> Iterator[Peak]:
    """Look at *root* and its descendants several times a second until the block ends."""
    before = resident(root)
    found = Peak(before, before)
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            found.look(root)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.look(root)
