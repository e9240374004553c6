"""Names as the code writes them and as the wire does: ``auto_apply`` and ``auto-apply``."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4096)
def dashed(name: str) -> str:
    return name.replace("_", "-")


def underscored(name: str) -> str:
    return name.replace("-", "_")
