"""Start a command as an ordinary user, where the tests run as root.

What it needs may lie below a directory that only root may enter (an interpreter in root's home): in a mount namespace
of its own such a directory is covered by an empty one, with what is needed put back.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from app.cli import demo

UID = 65534
NEEDED = tuple(dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix), demo.ROOT)))


def as_ordinary_user() -> tuple[str, ...]:
    """What goes before a command's words; nothing for who is an ordinary user already."""
    if os.geteuid() != 0:
        return ()
    script = " && ".join([*_mounts(), f'exec setpriv --reuid {UID} --regid {UID} --clear-groups -- "$@"'])
    return ("unshare", "--mount", "sh", "-c", script, "sh")


def _mounts() -> Iterator[str]:
    closed = {above for path in NEEDED if (above := _closed_above(path))}
    if not closed:
        return
    yield "mount -t tmpfs -o mode=755 none /mnt"
    for number, path in enumerate(NEEDED):
        yield f"mkdir /mnt/{number} && mount --bind {shlex.quote(str(path))} /mnt/{number}"
    for above in closed:
        yield f"mount -t tmpfs -o mode=755 none {shlex.quote(str(above))}"
    for number, path in enumerate(NEEDED):
        if _closed_above(path):
            place = shlex.quote(str(path))
            yield f"mkdir -p {place} && mount --bind /mnt/{number} {place}"


def _closed_above(path: Path) -> Path | None:
    """The outermost directory above *path* that others may not enter."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)
