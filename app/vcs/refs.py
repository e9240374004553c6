"""What git takes for the name of a branch or a tag.  Source: `git help check-ref-format`."""

from __future__ import annotations

import re

_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{")


def is_name(name: str) -> bool:
    """Whether a branch or a tag can be called *name*, the part after `refs/heads/` or `refs/tags/`."""
    if _REFUSED.search(name) or name.endswith("."):
        return False
    parts = name.split("/")
    return all(part and not part.startswith(".") and not part.endswith(".lock") for part in parts)
