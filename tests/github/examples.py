"""GitHub's own example payloads (`@octokit/webhooks-examples`, MIT; docs/decisions/0006)."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

VENDORED = Path(__file__).parent / "vendored" / "webhooks-examples.json.gz"


@cache
def all_of_them() -> dict[str, list[dict[str, Any]]]:
    """By event; do not change what you get."""
    read: dict[str, list[dict[str, Any]]] = json.loads(gzip.decompress(VENDORED.read_bytes()))
    return read


def each() -> list[tuple[str, dict[str, Any]]]:
    return [(event, payload) for event, payloads in all_of_them().items() for payload in payloads]
