"""Row: what the GitHub part costs everything that does not speak to GitHub: its share of what the web process imports
when it starts.

Fresh interpreters say themselves how long each module took (`-X importtime`), and those of the GitHub part are summed.
The command line imports none of it, and neither imports anything of githubkit, which costs a second and 40 MB: if one
did, the row would fail.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures import Effort, Figure, Goal, median, spread

GOAL = Goal(0.05, on="ratio")
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


def measure(effort: Effort) -> Sequence[Figure]:
    _require_none("app.cli.main", imported_by("app.cli.main"), "github_app", "githubkit")
    shares, totals = [], []
    for _ in range(effort.of(9, 2)):
        modules = imported_by("app.asgi")
        _require_none("app.asgi", modules, "githubkit")
        shares.append(sum(took for name, took in modules.items() if is_part(name, "github_app")) / 1000)
        totals.append(sum(modules.values()) / 1000)
    what, note = "import of the web process: its GitHub part", f"{spread(shares, 'ms')}; nothing of githubkit"
    return [Figure(what, median(shares), "ms", GOAL, comparison=median(totals), compared_with="everything", note=note)]


def imported_by(module: str) -> Mapping[str, int]:
    """Microseconds that each module took by itself, where *module* is imported in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    return {name: int(took) for took, name in _LINE.findall(done.stderr)}


def is_part(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _require_none(module: str, modules: Mapping[str, int], *packages: str) -> None:
    for package in packages:
        if any(is_part(name, package) for name in modules):
            raise AssertionError(f"importing {module} imports {package}")
