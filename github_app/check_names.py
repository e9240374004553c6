"""What a check is called: by branch protection, for ever, and by us, when GitHub tells of it.  Source: `github-app.md`
§4.1 and §4.2.
"""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from app import settings
from app.vcs.models import Repository
from github_app.models import Check

LONGEST_NAME = 100
#: A workspace's check that names no run, and an organization's.
OF_WORKSPACE, OF_ALL = "ws", "agg"


def instance() -> str:
    """What this installation is called in the names of its checks."""
    current = settings.current()
    return current.instance_name.strip() or urlsplit(current.external_url).hostname or "stateroom"


def name_of(organization: str, workspace: str | None = None) -> str:
    """What branch protection knows the check by: the same for ever, and another for each."""
    name = " / ".join(part for part in (instance(), organization, workspace) if part)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def external_id(check: Check) -> str:
    """By which GitHub's check is found again, and the button of ours that somebody pressed."""
    if check.run_id is not None:
        return f"v1:{check.run_id}:{check.attempt}"
    return f"v1:{OF_WORKSPACE if check.workspace_id else OF_ALL}:{check.id}"


async def find(repository: Repository, identifier: str) -> Check | None:
    """The check that GitHub knows by *identifier*, an `external_id`; None if it is not one of the repository's."""
    version, _, rest = identifier.partition(":")
    first, _, second = rest.partition(":")
    ours = Check.filter(repository_id=repository.id)
    if version != "v1" or len(identifier) > 80:
        return None
    if first in (OF_WORKSPACE, OF_ALL):
        return await ours.filter(id=second).first()
    if second.isascii() and second.isdigit() and len(second) < 9:
        return await ours.filter(run_id=first, attempt=int(second)).first()
    return None
