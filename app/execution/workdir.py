"""The directory of one phase: laid out, handed to the slot's user, and gone when the phase is.

`config`, `state` and `out` are the run's and the only ones it sees; everything beside them is the supervisor's control
directory.  What a run had in its hands is only ever opened step by step, without following a link (`carried`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import Invalid
from app.execution.overrides import STRAY_DIRECTORY, STRAYS
from app.supervisor.client import end_what_runs

#: What tells a file that was written to from one that was not: when it was, its length, and which file it is.
Print = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Workdir:
    """*files* is where the run's three directories lie, if not in the control directory: a plan made without a sandbox
    remembers their real paths, so there both phases of a run have the same ones."""

    control: Path
    files: Path | None = None

    @property
    def config(self) -> Path:
        return (self.files or self.control) / "config"

    @property
    def state(self) -> Path:
        return (self.files or self.control) / "state"

    @property
    def out(self) -> Path:
        return (self.files or self.control) / "out"

    @property
    def run_mirror(self) -> Path:
        return self.control / "run-mirror"

    def make(self) -> None:
        """Lay the empty directory out.  A name is used once, so it must not exist."""
        self.control.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.control.mkdir(mode=0o700)
        if self.files is not None:
            _remove(self.files)
            self.files.mkdir(mode=0o700)
        for folder in (self.config, self.state, self.out):
            folder.mkdir(mode=0o700)

    def root_module(self, working_directory: str) -> Path:
        """Where terraform is to be started.  The configuration must be as it was unpacked: this follows its links."""
        top = self.config.resolve()
        root = (top / working_directory.strip("/")).resolve()
        if not root.is_relative_to(top):
            raise Invalid(f"The working directory {working_directory} leads out of the configuration.")
        if not root.is_dir():
            raise Invalid(
                f"The working directory {working_directory} is not in the configuration version. Set the workspace's"
                " working directory to one that is, or upload from the directory above it."
            )
        return root

    def remove(self) -> None:
        """Take it away, whatever the run made of it and whatever still runs in it; nothing is done if it is gone."""
        end_what_runs(self.control)
        _remove(self.control)
        self.remove_files()

    def remove_files(self) -> None:
        """Take away the run's directories where they lie apart."""
        if self.files is not None:
            _remove(self.files)


def clean(root: Path) -> None:
    """Take away what the upload brought along that would lead terraform to another state than the workspace's."""
    for stray in STRAYS:
        (root / stray).unlink(missing_ok=True)
    directory = root / STRAY_DIRECTORY
    if directory.is_symlink():
        directory.unlink()
    elif directory.is_dir():
        shutil.rmtree(directory)


def lay(root: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* of ours into the root module, each new: nothing there may be written through."""
    for name, content in files.items():
        descriptor = os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def prints(config: Path) -> dict[str, Print]:
    """What lies in the configuration before the run starts, to tell later what is new or changed."""
    found: dict[str, Print] = {}
    for path, entry in _entries(os.fspath(config), ""):
        found[path] = print_of(entry.stat(follow_symlinks=False))
    return found


def print_of(status: os.stat_result) -> Print:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _entries(folder: str, prefix: str) -> Iterable[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path, path + "/")
            else:
                yield path, entry


def _remove(path: Path) -> None:
    """A run may have taken away its own rights; as root that stops nothing, else they are given back first."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        for folder, folders, _ in os.walk(path):
            for name in folders:
                inner = os.path.join(folder, name)
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)
        shutil.rmtree(path)
