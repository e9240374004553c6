"""Provider schemas, kept between runs: making them costs as much as a small plan."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from app.supervisor.collect import Refused, read_inside
from app.supervisor.control import SCHEMAS, write_whole
from app.supervisor.spec import Spec

LOCK_FILE = ".terraform.lock.hcl"
_LONGEST_LOCK_FILE = 4 * 1024 * 1024
_LINE = re.compile(rb'^\s*(?:provider\s+"[^"]*"|version\s*=\s*"[^"]*"|"(?:h1|zh):[^"]*")', re.MULTILINE)


def kept(spec: Spec) -> Path | None:
    """Where the schemas of this run's very providers are kept, whether they are there yet or not.

    Known after `init` only, by Terraform's version and what the lock file says: each provider, version and hash.
    """
    if spec.tools.schemas is None:
        return None
    lock_file = os.path.join(spec.directories.working, LOCK_FILE)
    try:
        text = read_inside(spec.directories.config, lock_file, limit=_LONGEST_LOCK_FILE)
    except FileNotFoundError:
        text = b""  # builtin providers alone
    except Refused:
        return None
    facts = [spec.tools.name.encode(), spec.tools.version.encode(), *(hit.strip() for hit in _LINE.findall(text))]
    return Path(spec.tools.schemas, hashlib.sha256(b"\n".join(facts)).hexdigest() + ".json")


def take(spec: Spec, cache: Path | None) -> Path | None:
    """A copy in the control directory of what the cache has, or None."""
    try:
        data = cache.read_bytes() if cache else None
    except FileNotFoundError:
        return None
    if data is None:
        return None
    here = Path(spec.directories.control, SCHEMAS)
    write_whole(here, data, lasting=False)
    return here


def keep(cache: Path | None, made: Path) -> None:
    if cache is not None:
        cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(cache, made.read_bytes())
