"""Which Terraform and OpenTofu versions this worker has.

On PATH, and in the tools directory as ``terraform/1.11.4/terraform`` and ``tofu/1.9.0/tofu`` (``opentofu`` is read
as well).  The tools directory goes first: who put a version there wants that one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.settings import Settings
from app.workspaces import versions

log = structlog.get_logger(__name__)

#: Engine, and what its program is called.
PROGRAMS = {"terraform": "terraform", "opentofu": "tofu"}
ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Release:
    engine: str
    version: str
    path: Path
    providers: Path | None = None
    """A filesystem mirror of providers that came with it."""
    beside: tuple[Path, ...] = ()
    """Providers that lie flat beside the program, where Terraform 0.12 looks for them."""
    bundle: str = ""
    """Of a bundle, what its administrator registered, in short: another one under the same name has another."""

    @property
    def name(self) -> str:
        """As jobs and workers name it: ``terraform/1.11.4``."""
        return f"{self.engine}/{self.version}"


def installed(settings: Settings) -> dict[str, Release]:
    """Every release here by name.  Starts each program that is only on PATH once, to ask its version."""
    everything = [*_on_path(), *_in_tools(settings.tools_dir)]
    for release in everything:
        if not versions.carries_out_runs(release.engine, release.version):
            log.warning("too old to carry out runs, left out", version=release.name, path=str(release.path))
    return {one.name: one for one in everything if versions.carries_out_runs(one.engine, one.version)}


def _in_tools(tools: Path) -> Iterator[Release]:
    for engine, program in PROGRAMS.items():
        for folder in {engine, program}:
            for path in sorted(Path(tools, folder).glob(f"*/{program}")):
                if _is_program(path) and versions.is_exact(path.parent.name.removeprefix("v")):
                    yield Release(engine, path.parent.name.removeprefix("v"), path.resolve())


def _on_path() -> Iterator[Release]:
    for engine, program in PROGRAMS.items():
        where = shutil.which(program)
        if where is None:
            continue
        path = Path(where).resolve()
        if not _is_program(path):
            log.warning("not a program that runs can be given, only a script", path=where)
            continue
        version = _version_of(path)
        if version:
            yield Release(engine, version, path)


def _is_program(path: Path) -> bool:
    """A version manager's shell script would find nothing of its own inside a sandbox."""
    try:
        with path.open("rb") as file:
            return os.access(path, os.X_OK) and file.read(4) == ELF
    except OSError:
        return False


def _version_of(path: Path) -> str | None:
    """What it says itself; versions before 0.13 know no JSON."""
    environment = {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull, "HOME": "/nonexistent", "PATH": ""}
    try:
        told = subprocess.run(
            [path, "version", "-json"], env=environment, capture_output=True, text=True, timeout=30, cwd="/"
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("cannot ask a program for its version", path=str(path), reason=str(error))
        return None
    try:
        return str(json.loads(told[told.index("{") :])["terraform_version"])
    except (ValueError, KeyError):
        words = told.split()
        return words[1].removeprefix("v") if len(words) > 1 and words[1].startswith("v") else None
