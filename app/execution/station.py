"""What a worker lends to every phase it carries out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.execution.releases import Release
from app.execution.toolbox import Toolbox
from app.settings import Settings
from app.supervisor.client import Spawner

#: Where a range of users for runs begins, if nothing else is set and the machine maps it.
FIRST_UID = 210_000


@dataclass(frozen=True, slots=True)
class Station:
    settings: Settings
    worker_id: str
    name: str
    spawner: Spawner
    releases: Mapping[str, Release]
    """What lies on this worker."""
    toolbox: Toolbox
    """What it can run: that, and what it can bring."""
    bwrap: str | None = None
    problem: str | None = None
    """Why no phase can be carried out here, as a sentence."""
    api_url: str = ""
    ca_file: str | None = None

    @property
    def runs(self) -> Path:
        """Where phases have their directories; what lies there at a worker's start was left by one that died."""
        return self.settings.data_dir / "runs"

    @property
    def schemas(self) -> Path:
        return self.settings.data_dir / "cache" / "schemas"

    def uid_of(self, slot: int) -> int | None:
        return uid_of(self.settings, slot)


def uid_of(settings: Settings, slot: int) -> int | None:
    """The user that runs of a slot are, where the worker is root; an ordinary worker has only itself."""
    if os.geteuid() != 0 or settings.sandbox != "bwrap":
        return None
    first = int(settings.sandbox_uids) if settings.sandbox_uids else _mapped(FIRST_UID)
    return first + slot


def _mapped(wanted: int) -> int:
    """*wanted* if users from there on exist in this user namespace, else the upper half of the largest range."""
    ranges = []
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, length = (int(number) for number in line.split())
        ranges.append((length, first))
        if first <= wanted and wanted + 1000 <= first + length:
            return wanted
    length, first = max(ranges)
    return first + length // 2
