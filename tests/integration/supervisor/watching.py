"""Look at what a phase is doing, from the outside."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from app.supervisor.client import Phase
from app.supervisor.control import LOG
from app.supervisor.spec import Result

HANG = 30.0


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for *condition*; the limit is there for hangs only."""
    deadline = asyncio.get_running_loop().time() + HANG
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited in vain until {what}"
        await asyncio.sleep(0.01)


async def until_log_says(control: str | Path, text: str) -> None:
    await until(lambda: text in log(control), f"the log says {text!r}; it says:\n{log(control)}")


async def ended(phase: Phase) -> Result:
    return await asyncio.wait_for(phase.wait(), HANG)


def log(control: str | Path) -> str:
    try:
        return Path(control, LOG).read_bytes().decode()
    except FileNotFoundError:
        return ""


def descendants(pid: int) -> list[int]:
    """Every living process below *pid*, which need not be alive itself."""
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, open_ones = [], [pid]
    while open_ones:
        below = children.get(open_ones.pop(), [])
        found += below
        open_ones += below
    return found


def is_alive(pid: int) -> bool:
    """Whether *pid* runs; one that only waits for its parent to look does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
