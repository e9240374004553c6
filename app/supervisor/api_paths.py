"""Which of Stateroom's own paths a run may use from inside its sandbox.

The token is a cage of its own; this is the second wall.  A run reads states, it never writes one: what it makes of
its state is journaled from outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

_ID = r"[A-Za-z0-9_.-]+"

_PERMITTED = [
    (method, re.compile(pattern))
    for method, pattern in (
        ("GET", r"/\.well-known/terraform\.json"),
        ("GET", r"/api/v2/(ping)?"),
        ("GET", rf"/api/v2/organizations/{_ID}/entitlement-set"),
        ("GET", rf"/api/v2/organizations/{_ID}/workspaces/{_ID}"),
        ("GET", rf"/api/v2/workspaces/{_ID}"),
        ("POST", rf"/api/v2/workspaces/{_ID}/actions/(lock|unlock)"),
        ("GET", rf"/api/v2/workspaces/{_ID}/(current-state-version|current-state-version-outputs)"),
        ("GET", rf"/api/v2/state-versions/{_ID}(/outputs)?"),
        ("GET", rf"/api/v2/state-version-outputs/{_ID}"),
        ("GET", rf"/api/v1/terraform/state/{_ID}/{_ID}"),  # backend "atlas"
        ("GET", rf"/api/registry/(v1|public/v1)/(modules|providers)(/{_ID})*"),
    )
]

_WORKSPACES = re.compile(r"/api/v2/organizations/[^/]+/workspaces")


def is_permitted(method: str, target: str, signed_prefixes: Sequence[str]) -> bool:
    """Whether a run may ask for *target*, a path with or without a query."""
    path = target.partition("?")[0]
    if unquote(path) != path or "//" in path or any(part in (".", "..") for part in path.split("/")):
        return False  # no second way to write a path
    if method == "GET" and any(path.startswith(prefix) for prefix in signed_prefixes):
        return True
    return any(method == allowed and pattern.fullmatch(path) for allowed, pattern in _PERMITTED)


def refusal(method: str, target: str) -> str:
    """The sentence for what `is_permitted` refuses.

    `terraform_remote_state` makes the workspace it was not shown, and prints what it hears to that.
    """
    if method == "POST" and _WORKSPACES.fullmatch(target.partition("?")[0]):
        return (
            "There is no such workspace, or it does not share its state with the workspace of this run. Look at the"
            " name, switch global-remote-state on there, or name this workspace among its remote state consumers."
        )
    return "A run may not use this part of Stateroom's API."
