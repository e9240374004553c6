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


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What lies where releases are looked for and can carry out no run; *why* goes on from its path."""

    path: Path
    why: str


def installed(settings: Settings) -> dict[str, Release]:
    """Every release here by name, and a word in the log on what was left out."""
    found, left_out = survey(settings)
    for one in left_out:
        log.warning("left out", path=str(one.path), why=one.why)
    return {one.name: one for one in found}


def survey(settings: Settings) -> tuple[list[Release], list[LeftOut]]:
    """Every release here, of two that have one name the one that counts last, and what is none.

    Starts each program that is only on PATH once, to ask its version; those in the tools directory are what their
    directories are called (`version_of` asks).
    """
    found, left_out = [], []
    for one in (*_on_path(), *_in_tools(settings.tools_dir)):
        if isinstance(one, Release) and not versions.carries_out_runs(one.engine, one.version):
            one = LeftOut(one.path, f"{one.version} is too old to carry out runs")
        if isinstance(one, LeftOut):
            left_out.append(one)
        else:
            found.append(one)
    return found, left_out


_NO_PROGRAM = "no program that runs can be given: not executable, or only a script"


def _in_tools(tools: Path) -> Iterator[Release | LeftOut]:
    for engine, program in PROGRAMS.items():
        for folder in sorted({engine, program}):
            for directory in sorted(Path(tools, folder).glob("*/")):
                version, path = directory.name.removeprefix("v"), directory / program
                if not versions.is_exact(version):
                    yield LeftOut(directory, "its name is no exact version")
                elif not path.exists():
                    yield LeftOut(directory, f"there is no {program} in it")
                elif not _is_program(path):
                    yield LeftOut(path, _NO_PROGRAM)
                else:
                    yield Release(engine, version, path.resolve())


def _on_path() -> Iterator[Release | LeftOut]:
    for program in PROGRAMS.values():
        where = shutil.which(program)
        if where is not None:
            yield _behind(program, Path(where))


def _behind(program: str, where: Path) -> Release | LeftOut:
    path = where.resolve()
    if not _is_program(path):
        return LeftOut(where, _NO_PROGRAM)
    version = version_of(path)
    if version is None:
        return LeftOut(where, "it does not say its version")
    return Release(next(engine for engine, name in PROGRAMS.items() if name == program), version, path)


def _is_program(path: Path) -> bool:
    """A version manager's shell script would find nothing of its own inside a sandbox."""
    try:
        with path.open("rb") as file:
            return os.access(path, os.X_OK) and file.read(4) == ELF
    except OSError:
        return False


def version_of(path: Path) -> str | None:
    """What the program says it is; versions before 0.13 know no JSON."""
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
