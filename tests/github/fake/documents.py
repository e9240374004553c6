"""What the fake answers: GitHub's own examples with the world's facts in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.github import openapi

if TYPE_CHECKING:
    from tests.github.fake.world import Account, App, Delivery, GitHub, Installation, Pull, Repository


def account(github: GitHub, one: Account, example: dict[str, Any] | None = None) -> dict[str, Any]:
    """*example* is what the place has; a user's document is alike everywhere."""
    example = example or openapi.example("GET /repos/{owner}/{repo}/commits/{ref}")["author"]
    return {
        **example,
        "id": one.number,
        "login": one.login,
        "type": one.type,
        "html_url": f"{github.url}/{one.login}",
        "avatar_url": f"{github.url}/avatars/{one.number}",
    }


def user() -> dict[str, Any]:
    """What only the user's own document has."""
    return {**openapi.example("GET /user"), "user_view_type": "private"}


def app(one: App) -> dict[str, Any]:
    example = openapi.example("GET /app")
    return {
        **example,
        "owner": account(one.github, one.owner, example["owner"]) if one.owner else example["owner"],
        "id": one.number,
        "slug": one.slug,
        "name": one.slug,
        "client_id": one.client_id,
        "html_url": f"{one.github.url}/apps/{one.slug}",
        "permissions": dict(one.permissions),
        "events": list(one.events),
        "installations_count": sum(not i.deleted for i in one.github.installations.values() if i.app is one),
    }


def installation(one: Installation) -> dict[str, Any]:
    github = one.app.github
    example = openapi.example("GET /app/installations/{installation_id}")
    who = account(github, one.account)
    return {
        **example,
        "id": one.number,
        "account": who,
        "app_id": one.app.number,
        "app_slug": one.app.slug,
        "target_id": one.account.number,
        "target_type": one.account.type,
        "repository_selection": one.selection,
        "permissions": dict(one.permissions),
        "events": list(one.app.events),
        "html_url": f"{github.url}/organizations/{one.account.login}/settings/installations/{one.number}",
        "suspended_at": one.suspended_at.isoformat() if one.suspended_at else None,
        "suspended_by": account(github, one.account) if one.suspended_at else None,
    }


def repository(one: Repository, *, whole: bool = False) -> dict[str, Any]:
    """The short form that lists have, or *whole* as for itself."""
    if whole:
        example = openapi.example("GET /repos/{owner}/{repo}")
        for name in ("source", "parent", "template_repository"):
            example.pop(name, None)
        example["language"] = None
    else:
        example = openapi.example("GET /installation/repositories")["repositories"][0]
    github = one.github
    return {
        **example,
        "id": one.number,
        "name": one.name,
        "full_name": one.full_name,
        "private": one.private,
        "archived": one.archived,
        "visibility": "private" if one.private else "public",
        "default_branch": one.default_branch,
        "owner": account(github, one.owner),
        "html_url": f"{github.url}/{one.full_name}",
        "clone_url": f"{github.url}/{one.full_name}.git",
        "url": f"{github.url}/api/v3/repos/{one.full_name}",
    }


def pull(one: Pull, *, whole: bool = False) -> dict[str, Any]:
    operation = "GET /repos/{owner}/{repo}/pulls" + ("/{pull_number}" if whole else "")
    example = openapi.example(operation)
    example = example if whole else example[0]
    github = one.base.github
    document = {
        **example,
        "id": one.base.number * 1000 + one.number,
        "number": one.number,
        "state": one.state,
        "title": one.title,
        "body": one.body,
        "draft": one.draft,
        "user": account(github, one.user),
        "html_url": f"{github.url}/{one.base.full_name}/pull/{one.number}",
        "updated_at": f"2026-01-01T00:{one.updated // 60 % 60:02}:{one.updated % 60:02}Z",
        "requested_teams": [],
        "head": _end(example["head"], one.head, one.head_ref, one.head_sha, github, one.user),
        "base": _end(example["base"], one.base, one.base_ref, one.base_sha, github, one.base.owner),
    }
    if whole:
        merge_base = one.base.git.text("merge-base", one.base_sha, one.head_sha)
        document["merged"] = one.merged
        document["changed_files"] = len(one.base.git.changed(merge_base, one.head_sha))
    return document


def _end(
    example: dict[str, Any], at: Repository | None, ref: str, sha: str, github: GitHub, user: Account
) -> dict[str, Any]:
    label = f"{at.owner.login if at else 'unknown'}:{ref}"
    repo = None if at is None else {**example["repo"], **repository(at)}
    return {**example, "label": label, "ref": ref, "sha": sha, "repo": repo, "user": account(github, user)}


def file(one: dict[str, str], sha: str) -> dict[str, Any]:
    example = openapi.example("GET /repos/{owner}/{repo}/pulls/{pull_number}/files")[0]
    return {**example, **one, "sha": sha}


def commit(one: Repository, sha: str, *, listed: bool = False) -> dict[str, Any]:
    """Without the files, which nobody reads there."""
    example = openapi.example("GET /repos/{owner}/{repo}/commits/{ref}")
    name, email, moment, message = one.git.text("log", "-1", "--format=%an%x00%ae%x00%aI%x00%B", sha).split("\0", 3)
    parents = one.git.text("log", "-1", "--format=%P", sha).split()
    who = {"name": name, "email": email, "date": moment}
    url = f"{one.github.url}/api/v3/repos/{one.full_name}/commits/{sha}"
    document = {
        **example,
        "sha": sha,
        "url": url,
        "html_url": f"{one.github.url}/{one.full_name}/commit/{sha}",
        "commit": {**example["commit"], "message": message.strip(), "author": who, "committer": who},
        "author": account(one.github, one.github.account("octocat", "User")),
        "parents": [{"sha": parent, "url": url, "html_url": url} for parent in parents],
        "files": [],
    }
    if listed:
        document.pop("files")
    return document


def check(one: Repository, told: dict[str, Any], number: int, app_document: dict[str, Any]) -> dict[str, Any]:
    example = openapi.example("POST /repos/{owner}/{repo}/check-runs")
    output = {
        "title": None,
        "summary": None,
        "text": None,
        "annotations_count": 0,
        "annotations_url": "https://x.example",
    }
    return {
        **example,
        "id": number,
        "external_id": None,
        "conclusion": None,
        "completed_at": None,
        "status": "queued",
        **{name: value for name, value in told.items() if name not in ("output", "actions")},
        "output": {**output, **{k: v for k, v in told.get("output", {}).items() if k != "annotations"}},
        "html_url": f"{one.github.url}/{one.full_name}/runs/{number}",
        "url": f"{one.github.url}/api/v3/repos/{one.full_name}/check-runs/{number}",
        "app": app_document,
        "check_suite": {"id": number + 1_000_000},
        "pull_requests": [],
    }


def delivery(one: Delivery, *, whole: bool = False) -> dict[str, Any]:
    operation = "GET /app/hook/deliveries" + ("/{delivery_id}" if whole else "")
    example = openapi.example(operation)
    example = example if whole else example[0]
    told = json.loads(one.body)
    if whole:
        example["request"] = {"headers": dict(one.headers), "payload": told}
    return {
        **example,
        "id": one.number,
        "guid": one.guid,
        "action": told.get("action"),
        "installation_id": told.get("installation", {}).get("id"),
        "repository_id": told.get("repository", {}).get("id"),
        "event": one.event,
        "delivered_at": one.delivered_at.isoformat(),
        "redelivery": one.redelivery,
        "status": _status(one.status_code),
        "status_code": one.status_code,
    }


def _status(code: int) -> str:
    if code == 0:
        return "failed to connect to host"
    return "OK" if code < 300 else f"Invalid HTTP Response: {code}"
