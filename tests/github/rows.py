"""Rows of what is on GitHub, without a GitHub."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from app import clock, ids
from app.vcs.models import Installation, Repository

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ref:
    """A pull request by its number."""

    name: str = "7"
    kind: str = "pull"


async def make_installation(**given: Any) -> Installation:
    number = next(_numbers)
    given.setdefault("permissions", {"checks": "write", "contents": "read", "statuses": "write"})
    return await Installation.create(
        id=ids.new("github_app_installation"),
        app_id=given.pop("app_id", "ghapp-0000000000000000"),
        number=number,
        account_number=number,
        account_login=given.pop("account_login", f"account{number}"),
        account_type="Organization",
        created_at=clock.now(),
        **given,
    )


async def make_repository(installation: Installation | None = None, **given: Any) -> Repository:
    installation, number = installation or await make_installation(), next(_numbers)
    return await Repository.create(
        id=ids.new("github_repository"),
        app_id=installation.app_id,
        number=number,
        installation=installation,
        full_name=f"{installation.account_login}/repository{number}",
        html_url=f"https://github.example/{installation.account_login}/repository{number}",
        created_at=clock.now(),
        **given,
    )
