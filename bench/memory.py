"""How much memory a server holds: the resident sets of its processes, taken from the kernel."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


def resident(root: int) -> int:
    """Bytes resident in the process *root* and all that descend from it."""
    return sum(_resident_of(process) for process in {root, *_descendants(root)})


def _descendants(root: int) -> set[int]:
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found: set[int] = set()
    wanted = {root}
    while wanted:
        wanted = {process for process, parent in parents.items() if parent in wanted and process not in found}
        found |= wanted
    return found


def _parent(process: Path) -> int:
    try:
        after_name = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return 0
    return int(after_name[1])


def _resident_of(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    pages = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(pages[0]) * 1024 if pages else 0


@dataclass
class Peak:
    """The most that was resident while one looked, and what was before."""

    before: int
    highest: int

    @property
    def growth(self) -> int:
        return max(0, self.highest - self.before)


@contextlib.contextmanager
def peak(root: int, every: float = 0.05) -> Iterator[Peak]:
    """Look at *root* and its descendants several times a second until the block ends."""
    before = resident(root)
    found = Peak(before, before)
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            found.highest = max(found.highest, resident(root))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.highest = max(found.highest, resident(root))
