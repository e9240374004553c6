"""The webhooks that GitHub sends of what was done on the fake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.github.fake.world import Account, Installation, Pull, Repository

ZERO = "0" * 40


def repository(there: Repository) -> dict[str, Any]:
    return {
        "id": there.number,
        "name": there.name,
        "full_name": there.full_name,
        "private": there.private,
        "default_branch": there.default_branch,
        "owner": {"id": there.owner.number, "login": there.owner.login, "type": there.owner.type},
    }


def _envelope(there: Repository, by: str, **more: Any) -> dict[str, Any]:
    sender = there.github.account(by, "User")
    return {"repository": repository(there), "sender": {"id": sender.number, "login": by, "type": "User"}, **more}


def push(
    there: Repository, ref: str, before: str, after: str, *, message: str = "", by: str = "octocat"
) -> dict[str, Any]:
    """*ref* is whole; `before` or `after` is ZERO where there is none."""
    return _envelope(
        there,
        by,
        ref=ref,
        before=before,
        after=after,
        created=before == ZERO,
        deleted=after == ZERO,
        head_commit={"id": after, "message": message} if after != ZERO and message else None,
    )


def pull_request(there: Repository, pull: Pull, action: str, **more: Any) -> dict[str, Any]:
    end = {"sha": pull.head_sha, "ref": pull.head_ref}
    return _envelope(
        there,
        pull.user.login,
        action=action,
        number=pull.number,
        pull_request={
            "number": pull.number,
            "head": {**end, "repo": {"id": pull.head.number} if pull.head else None},
            "base": {"sha": pull.base_sha, "ref": pull.base_ref, "repo": {"id": there.number}},
        },
        **more,
    )


def merge_group(there: Repository, head_ref: str, head_sha: str, base_sha: str, action: str) -> dict[str, Any]:
    group = {
        "head_ref": f"refs/heads/{head_ref}",
        "head_sha": head_sha,
        "base_ref": "refs/heads/main",
        "base_sha": base_sha,
    }
    return _envelope(there, "octocat", action=action, merge_group=group)


def check_run(
    there: Repository, external_id: str, sha: str, action: str, *, button: str = "", by: str = "octocat"
) -> dict[str, Any]:
    check = {"id": 1, "external_id": external_id, "head_sha": sha}
    pressed = {"requested_action": {"identifier": button}} if button else {}
    return _envelope(there, by, action=action, check_run=check, **pressed)


def _account(one: Account) -> dict[str, Any]:
    return {"id": one.number, "login": one.login, "type": one.type}


def installation(there: Installation, action: str) -> dict[str, Any]:
    account = _account(there.account)
    told = {"id": there.number, "account": account, "app_id": there.app.number}
    return {"action": action, "installation": told, "sender": account}


def installation_repositories(
    there: Installation, *, added: Sequence[Repository] = (), removed: Sequence[Repository] = ()
) -> dict[str, Any]:
    short = {
        name: [{"id": one.number, "name": one.name, "full_name": one.full_name, "private": one.private} for one in ones]
        for name, ones in (("repositories_added", added), ("repositories_removed", removed))
    }
    return {**installation(there, "added" if added else "removed"), "repository_selection": there.selection, **short}


def target_renamed(there: Installation, old: str) -> dict[str, Any]:
    account = _account(there.account)
    return {
        "action": "renamed",
        "account": account,
        "target_type": there.account.type,
        "changes": {"login": {"from": old}},
        "installation": {"id": there.number},
        "sender": account,
    }


def repository_event(there: Repository, action: str, installation: Installation) -> dict[str, Any]:
    return _envelope(there, "octocat", action=action, installation={"id": installation.number})
