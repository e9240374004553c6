"""Providers laid where terraform looks for them: in a mirror, or beside a configuration.

The null provider is a real one. The rehearsal provider (`rehearsal.py`) is ours: it needs a Python that runs see, one
below /usr, and packages for that Python, which are the ones of the lock file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from app.execution.cli_config import this_platform
from tests.clients.packages import NULL_PROVIDER, locked, pip
from tests.clients.packages import cache as cache_directory

NULL = "registry.terraform.io/hashicorp/null"
NULL_VERSION = "2.1.2"
REHEARSAL = "registry.example.com/acme/rehearsal"
REHEARSAL_VERSION = "1.0.0"

_LOCK = Path(__file__).parents[2] / "requirements-dev.lock"
_SOURCE = Path(__file__).with_name("rehearsal.py")
#: What `tf` imports.
_PACKAGES = ("tf", "grpcio", "protobuf", "msgpack", "cryptography", "cffi", "pycparser", "typing-extensions")
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3", "/usr/local/bin/python")


def place_in(mirror: Path, provider: str, version: str) -> Path:
    """Where *mirror* has the files of *provider*, unpacked; made if it is not there."""
    place = mirror.joinpath(*provider.split("/"), version, this_platform())
    place.mkdir(parents=True, exist_ok=True)
    return place


def put_null_into(mirror: Path, provider: str = NULL) -> Path:
    """The null provider, under whatever name; where its files lie."""
    place = place_in(mirror, provider, NULL_VERSION)
    program = NULL_PROVIDER.file()
    _copy(program, place / f"terraform-provider-{provider.rpartition('/')[2]}_v{NULL_VERSION}_x4")
    return place


def put_rehearsal_into(mirror: Path) -> Path:
    place = place_in(mirror, REHEARSAL, REHEARSAL_VERSION)
    program = place / f"terraform-provider-rehearsal_v{REHEARSAL_VERSION}"
    if not program.exists():
        shutil.copytree(_packages(), place / "packages", copy_function=_copy)
        program.write_text(f"#!{_python()[0]} -I\n{_SOURCE.read_text()}")
        program.chmod(0o755)
    return place


def _copy(source: str | Path, target: str | Path) -> str:
    """A link, where the two are on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return str(target)


def _packages() -> Path:
    """`packages` for the Python that runs see, installed once a machine."""
    wanted = _locked_lines()
    _, version = _python()
    place = cache_directory() / f"rehearsal-{version}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    with locked(place.with_suffix(".lock")):
        if not place.is_dir():
            scratch = place.with_suffix(".new")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            (scratch / "wanted.txt").write_text(wanted)
            pip(
                *("install", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile"),
                *("--python-version", version, "--target", str(scratch / "packages")),
                *("-r", str(scratch / "wanted.txt")),
            )
            compile_all = [_python()[0], "-m", "compileall", "-q", str(scratch / "packages")]
            subprocess.run(compile_all, check=False, capture_output=True)
            (scratch / "packages").rename(place)
            shutil.rmtree(scratch)
    return place


def _locked_lines() -> str:
    """Of the lock file, what `tf` needs, with the hashes."""
    blocks = re.split(r"\n(?=[a-z])", _LOCK.read_text())
    found = {block.partition("==")[0]: block for block in blocks}
    return "\n".join(re.sub(r" ; [^\\]*", " ", found[name]) for name in _PACKAGES) + "\n"


@cache
def _python() -> tuple[str, str]:
    """A Python below /usr, and its version as `3.11`."""
    for path in _PYTHONS:
        if Path(path).exists():
            asked = [path, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            return path, subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    raise AssertionError(f"The rehearsal provider needs one of {', '.join(_PYTHONS)}: runs see nothing outside /usr.")
