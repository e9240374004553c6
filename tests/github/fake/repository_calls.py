"""What is asked of a repository."""

from __future__ import annotations

import re
import secrets as random
from datetime import timedelta
from typing import Any

from tests.github import openapi
from tests.github.fake import documents
from tests.github.fake.access import Said
from tests.github.fake.calls import Call, Reply, answers, invalid, not_found
from tests.github.fake.git import GitFailed
from tests.github.fake.world import Pull

MOST_COMPARED, MOST_OF_PULL = 300, 3000
REPO = "/repos/{owner}/{repo}"
_SHA = re.compile(r"[0-9a-f]{40}")


@answers(f"GET {REPO}")
def show(call: Call) -> Reply:
    return Reply(200, documents.repository(call.repo, whole=True))


@answers(f"GET {REPO}/git/ref/{{ref}}", permission="contents: read")
def show_ref(call: Call) -> Reply:
    ref = f"refs/{call.params['ref']}"
    if not call.repo.git.text("for-each-ref", "--count=1"):
        raise Said(409, "Git Repository is empty.")
    sha = call.repo.git.sha(ref)
    if sha is None or not ref.startswith(("refs/heads/", "refs/tags/", "refs/pull/")):
        raise not_found()
    kind = call.repo.git.kind(sha)
    example = openapi.example(f"GET {REPO}/git/ref/{{ref}}")
    return Reply(200, {**example, "ref": ref, "object": {**example["object"], "sha": sha, "type": kind}})


@answers(f"GET {REPO}/git/tags/{{tag_sha}}", permission="contents: read")
def show_tag(call: Call) -> Reply:
    sha = call.params["tag_sha"]
    if call.repo.git.kind(sha) != "tag":
        raise not_found()
    head = call.repo.git.git("cat-file", "tag", sha).decode().splitlines()
    (_, target), (_, kind) = head[0].split(), head[1].split()
    example = openapi.example(f"GET {REPO}/git/tags/{{tag_sha}}")
    return Reply(200, {**example, "sha": sha, "object": {**example["object"], "sha": target, "type": kind}})


@answers(f"GET {REPO}/tags", permission="contents: read")
def list_tags(call: Call) -> Reply:
    """By name, the last one first, with the commits that they stand on."""
    form = "--format=%(refname:short) %(objectname) %(*objectname)"
    lines = call.repo.git.text("for-each-ref", "--sort=-refname", form, "refs/tags").splitlines()
    shown, headers = call.page([line.split() for line in lines])
    example = openapi.example(call.operation)[0]
    url = f"{call.github.url}/api/v3/repos/{call.repo.full_name}/commits"
    tags = [{**example, "name": name, "commit": {"sha": shas[-1], "url": f"{url}/{shas[-1]}"}} for name, *shas in shown]
    return Reply(200, tags, headers)


@answers(f"GET {REPO}/commits/{{ref}}", permission="contents: read")
def show_commit(call: Call) -> Reply:
    return Reply(200, documents.commit(call.repo, _commit(call, call.params["ref"])))


@answers(f"GET {REPO}/compare/{{basehead}}", permission="contents: read")
def compare(call: Call) -> Reply:
    """Three dots, and at most 300 files, on the first page."""
    before, _, after = call.params["basehead"].partition("...")
    git = call.repo.git
    base, head = (git.sha(f"{one}^{{commit}}") for one in (before, after))
    if base is None or head is None:
        raise not_found()
    try:
        common = git.text("merge-base", base, head)
    except GitFailed:
        raise Said(404, f"No common ancestor between {before} and {after}.") from None
    ahead = git.text("rev-list", f"{common}..{head}").split()
    behind = git.text("rev-list", f"{common}..{base}").split()
    status = {(False, False): "identical", (True, False): "ahead", (False, True): "behind", (True, True): "diverged"}
    shown, headers = call.page([documents.commit(call.repo, sha, listed=True) for sha in reversed(ahead)])
    example = openapi.example(call.operation)
    document = {
        **example,
        "status": status[bool(ahead), bool(behind)],
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "base_commit": documents.commit(call.repo, base, listed=True),
        "merge_base_commit": documents.commit(call.repo, common, listed=True),
        "commits": shown,
    }
    files = [documents.file(one, head) for one in git.changed(common, head)[:MOST_COMPARED]]
    document["files"] = files if int(call.query.get("page", 1)) == 1 else []
    return Reply(200, document, headers)


@answers(f"GET {REPO}/tarball/{{ref}}", permission="contents: read")
def tarball(call: Call) -> Reply:
    """The address is good once, for five minutes."""
    sha = _commit(call, call.params["ref"], absent=404)
    ticket = random.token_urlsafe(16)
    call.github.downloads[ticket] = (call.repo, sha, call.github.now() + timedelta(minutes=5))
    address = f"{call.github.codeload_url}/{call.repo.full_name}/legacy.tar.gz/{sha}?token={ticket}"
    return Reply(302, None, {"location": address})


@answers(f"GET {REPO}/pulls", permission="pull_requests: read")
def list_pulls(call: Call) -> Reply:
    state = call.query.get("state", "open")
    pulls = [one for one in call.repo.pulls.values() if state in (one.state, "all")]
    if call.query.get("sort") == "updated":
        pulls.sort(key=lambda one: one.updated)
    else:
        pulls.sort(key=lambda one: one.number)
    if call.query.get("direction", "desc") == "desc":
        pulls.reverse()
    shown, headers = call.page(pulls)
    return Reply(200, [documents.pull(one) for one in shown], headers)


@answers(f"GET {REPO}/pulls/{{pull_number}}", permission="pull_requests: read")
def show_pull(call: Call) -> Reply:
    return Reply(200, documents.pull(_pull(call), whole=True))


@answers(f"GET {REPO}/pulls/{{pull_number}}/files", permission="pull_requests: read")
def list_files(call: Call) -> Reply:
    pull = _pull(call)
    if pull.hidden_files:
        pull.hidden_files -= 1
        raise not_found()
    git = call.repo.git
    changed = git.changed(git.text("merge-base", pull.base_sha, pull.head_sha), pull.head_sha)
    shown, headers = call.page(changed[:MOST_OF_PULL])
    return Reply(200, [documents.file(one, pull.head_sha) for one in shown], headers)


@answers(f"GET {REPO}/collaborators/{{username}}/permission")
def show_permission(call: Call) -> Reply:
    login = call.params["username"]
    account = call.github.accounts.get(login)
    if account is None:
        raise not_found()
    role = call.repo.collaborators.get(login, "none" if call.repo.private else "read")
    permission = {"maintain": "write", "triage": "read"}.get(role, role)
    example = openapi.example(call.operation)
    user = {**documents.account(call.github, account, example["user"]), "role_name": role}
    return Reply(200, {**example, "permission": permission, "role_name": role, "user": user})


@answers(f"POST {REPO}/check-runs", permission="checks: write")
def create_check(call: Call) -> Reply:
    told = call.body
    if call.repo.git.kind(told["head_sha"]) != "commit":
        raise Said(422, "No commit found for SHA: " + told["head_sha"])
    _check_output(told)
    number = next(call.github.numbers)
    document = documents.check(call.repo, _final(told), number, documents.app(call.installation.app))
    call.repo.checks[number] = document
    document["actions"] = told.get("actions", [])
    document["annotations"] = list(told.get("output", {}).get("annotations", []))
    return Reply(201, _shown(document))


@answers(f"PATCH {REPO}/check-runs/{{check_run_id}}", permission="checks: write")
def update_check(call: Call) -> Reply:
    told, number = call.body, int(call.params["check_run_id"])
    kept = call.repo.checks.get(number)
    if kept is None:
        raise not_found()
    _check_output(told)
    output = told.get("output", {})
    kept.update({name: value for name, value in _final(told).items() if name not in ("output", "actions")})
    kept["output"] = {**kept["output"], **{k: v for k, v in output.items() if k != "annotations"}}
    kept["actions"] = told.get("actions", kept["actions"])
    kept["annotations"] += output.get("annotations", [])
    return Reply(200, _shown(kept))


@answers(f"GET {REPO}/commits/{{ref}}/check-runs", permission="checks: read")
def list_checks(call: Call) -> Reply:
    sha = _commit(call, call.params["ref"])
    found = [one for one in call.repo.checks.values() if one["head_sha"] == sha]
    if "check_name" in call.query:
        found = [one for one in found if one["name"] == call.query["check_name"]]
    if "app_id" in call.query:
        found = [one for one in found if one["app"]["id"] == int(call.query["app_id"])]
    if call.query.get("filter", "latest") == "latest":
        found = list({one["name"]: one for one in found}.values())
    shown, headers = call.page(found[::-1])
    return Reply(200, {"total_count": len(found), "check_runs": [_shown(one) for one in shown]}, headers)


@answers(f"POST {REPO}/statuses/{{sha}}", permission="statuses: write")
def create_status(call: Call) -> Reply:
    told, sha = call.body, call.params["sha"]
    if call.repo.git.kind(sha) != "commit":
        raise Said(422, f"No commit found for SHA: {sha}")
    if len(told.get("description") or "") > 140:
        raise invalid("description is too long (maximum is 140 characters)", resource="Status", field="description")
    context = told.get("context", "default")
    if sum(one["sha"] == sha and one["context"].lower() == context.lower() for one in call.repo.statuses) >= 1000:
        raise invalid(
            "This SHA and context has reached the maximum number of statuses.", resource="Status", field="base"
        )
    call.repo.statuses.append({**told, "sha": sha, "context": context})
    example = openapi.example(call.operation)
    return Reply(201, {**example, **told, "context": context, "id": next(call.github.numbers)})


def _pull(call: Call) -> Pull:
    number = call.params["pull_number"]
    pull = call.repo.pulls.get(int(number)) if number.isdigit() else None
    if pull is None:
        raise not_found()
    return pull


def _commit(call: Call, ref: str, *, absent: int = 422) -> str:
    for name in (f"{ref}^{{commit}}", f"refs/heads/{ref}^{{commit}}", f"refs/tags/{ref}^{{commit}}"):
        if (sha := call.repo.git.sha(name)) is not None:
            return sha
    raise not_found() if absent == 404 else Said(422, f"No commit found for SHA: {ref}")


def _final(told: dict[str, Any]) -> dict[str, Any]:
    """A conclusion completes."""
    return {**told, "status": "completed"} if "conclusion" in told else told


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("actions", "annotations")}


def _check_output(told: dict[str, Any]) -> None:
    """GitHub's limits, which it answers with a 422."""
    output = told.get("output") or {}
    for part in ("summary", "text"):
        if len(output.get(part) or "") > 65535:
            raise invalid(f"{part} exceeds a maximum size of 65535 characters", resource="CheckRun", field=part)
    if len(output.get("annotations", [])) > 50:
        raise invalid("annotations exceeds a maximum quantity of 50", resource="CheckRun", field="annotations")
    actions = told.get("actions", [])
    if len(actions) > 3:
        raise invalid("actions exceeds a maximum quantity of 3", resource="CheckRun", field="actions")
    for action in actions:
        for name, most in (("label", 20), ("description", 40), ("identifier", 20)):
            if len(action[name]) > most:
                raise invalid(f"{name} exceeds {most} characters", resource="CheckRun", field="actions")
    if told.get("status") == "completed" and "conclusion" not in told:
        raise invalid("conclusion is missing", resource="CheckRun", field="conclusion")
