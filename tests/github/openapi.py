"""GitHub's own description of its REST API, as far as we call it (`@octokit/openapi`, MIT; docs/decisions/0008).

    python -m tests.github.openapi package/generated/api.github.com.json

writes the extract anew from the file of an unpacked npm package.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from openapi_schema_validator import OAS30Validator

VENDORED = Path(__file__).parent / "vendored" / "api.github.com.json.gz"

#: What Stateroom calls.  A request to anything else fails the test that made it.
OPERATIONS = (
    "GET /app",
    "GET /app/hook/config",
    "PATCH /app/hook/config",
    "GET /app/hook/deliveries",
    "GET /app/hook/deliveries/{delivery_id}",
    "POST /app/hook/deliveries/{delivery_id}/attempts",
    "GET /app/installations",
    "GET /app/installations/{installation_id}",
    "POST /app/installations/{installation_id}/access_tokens",
    "POST /app-manifests/{code}/conversions",
    "GET /installation/repositories",
    "DELETE /installation/token",
    "GET /user",
    "GET /user/installations",
    "GET /repos/{owner}/{repo}",
    "GET /repos/{owner}/{repo}/collaborators/{username}/permission",
    "GET /repos/{owner}/{repo}/git/ref/{ref}",
    "GET /repos/{owner}/{repo}/git/tags/{tag_sha}",
    "GET /repos/{owner}/{repo}/tags",
    "GET /repos/{owner}/{repo}/commits/{ref}",
    "GET /repos/{owner}/{repo}/commits/{ref}/check-runs",
    "GET /repos/{owner}/{repo}/compare/{basehead}",
    "GET /repos/{owner}/{repo}/pulls",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}/files",
    "GET /repos/{owner}/{repo}/tarball/{ref}",
    "POST /repos/{owner}/{repo}/check-runs",
    "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
    "POST /repos/{owner}/{repo}/statuses/{sha}",
)
#: These parameters' values go over slashes; every other one ends at the next.
LONG = {"ref", "basehead"}
#: Where GitHub sends who knows a repository's old name.  Undocumented, so it is taken as the documented call.
BY_NUMBER = re.compile(r"/repositories/[0-9]+(?=/|$)")


class Violation(AssertionError):
    """Somebody broke the description: we with a request, or the fake with an answer."""


@cache
def description() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(gzip.decompress(VENDORED.read_bytes()))
    return read


def example(operation: str) -> Any:
    """GitHub's own example of the answer to *operation*; yours to change."""
    return copy.deepcopy(description()["x-examples"][operation])


def matched(method: str, path: str) -> tuple[str, dict[str, str]]:
    """The operation that *path* (without a server's own prefix, still quoted) belongs to, and what the path says.

    Raises Violation."""
    path = BY_NUMBER.sub("/repos/by/number", path, count=1)
    for operation, pattern in _patterns():
        if operation.startswith(f"{method} ") and (found := pattern.fullmatch(path)):
            return operation, {name: unquote(value) for name, value in found.groupdict().items()}
    raise Violation(f"{method} {path} is no operation we are known to use (tests/github/openapi.py, OPERATIONS)")


def check_request(method: str, path: str, query: dict[str, str], body: bytes) -> str:
    """The request's operation.  Raises Violation if GitHub's description does not allow the request."""
    operation, _ = matched(method, path)
    described = _described(operation)
    known = {parameter["name"]: parameter for parameter in _parameters(described) if parameter["in"] == "query"}
    for name, value in query.items():
        if name not in known:
            raise Violation(f"{operation} has no parameter {name}")
        schema = known[name]["schema"]
        _check(int(value) if schema.get("type") == "integer" else value, schema, f"{operation} ?{name}")
    declared = described.get("requestBody", {}).get("content", {}).get("application/json")
    if declared is None:
        if body:
            raise Violation(f"{operation} takes no body")
        return operation
    if not body and described["requestBody"].get("required"):
        raise Violation(f"{operation} needs a body")
    if body:
        told = json.loads(body)
        _check(told, declared["schema"], operation)
        _check_unwritten(operation, told, declared["schema"])
    return operation


def check_answer(operation: str, status: int, body: bytes) -> None:
    """Raises Violation if GitHub's description does not know such an answer.  Errors are told everywhere alike, also
    where the description leaves them out."""
    responses = _described(operation)["responses"]
    if status >= 300 and str(status) not in responses:
        return
    if str(status) not in responses:
        raise Violation(f"{operation} is never answered {status}")
    declared = _resolved(responses[str(status)]).get("content", {}).get("application/json")
    if declared is not None:
        _check(json.loads(body), declared["schema"], f"the fake's {status} to {operation}")


# -- rules that the description leaves out (github-app.md §8.2) ----------------------------------------------------


def _check_unwritten(operation: str, told: Any, schema: dict[str, Any]) -> None:
    if "/check-runs" in operation:
        _check_check(operation, told)
    if operation.startswith("POST") and "/statuses/" in operation and len(told.get("description") or "") > 140:
        raise Violation(f"{operation}: a status' description has at most 140 characters")
    known = _resolved(schema).get("properties", {})
    if known and not operation.endswith("check-runs") and (unknown := set(told) - set(known)):
        raise Violation(f"{operation} knows no {', '.join(sorted(unknown))}")


def _check_check(operation: str, told: dict[str, Any]) -> None:
    fields = {"name", "head_sha", "details_url", "external_id", "status", "started_at", "conclusion", "completed_at"}
    if unknown := set(told) - fields - {"output", "actions"}:
        raise Violation(f"{operation} knows no {', '.join(sorted(unknown))}")
    if told.get("status") == "completed" and "conclusion" not in told:
        raise Violation(f"{operation}: completed, and no conclusion")
    if told.get("conclusion") == "stale":
        raise Violation(f"{operation}: stale is GitHub's own")
    output = told.get("output") or {}
    for part in ("summary", "text"):
        if len((output.get(part) or "").encode()) > 65535:
            raise Violation(f"{operation}: {part} is longer than 65535 bytes")


# -- schemas -----------------------------------------------------------------------------------------------------


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """The more a path says itself, the earlier it is tried."""

    def part(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{'.+' if match[1] in LONG else '[^/]+'})"

    operations = sorted(OPERATIONS, key=lambda operation: (operation.count("{"), -len(operation)))
    operations.sort(key=lambda operation: operation.endswith("/commits/{ref}"))
    return [(one, re.compile(re.sub(r"{(\w+)}", part, one.partition(" ")[2]))) for one in operations]


def _check(told: Any, schema: dict[str, Any], what: str) -> None:
    rooted = {**schema, "components": description()["components"]}  # where its references lead
    first = next(iter(OAS30Validator(rooted).iter_errors(told)), None)
    if first is not None:
        where = "/".join(str(step) for step in first.absolute_path) or "it"
        said = first.message if len(first.message) < 600 else f"{first.message[:300]} … {first.message[-100:]}"
        raise Violation(f"{what}: {where}: {said}")


def _described(operation: str) -> dict[str, Any]:
    method, _, path = operation.partition(" ")
    described: dict[str, Any] = description()["paths"][path][method.lower()]
    return described


def _parameters(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for parameter in described.get("parameters", []):
        yield _resolved(parameter)


def _resolved(thing: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in thing:
        return thing
    found: Any = description()
    for step in thing["$ref"].removeprefix("#/").split("/"):
        found = found[unquote(step).replace("~1", "/").replace("~0", "~")]
    return _resolved(found)


# -- making the extract --------------------------------------------------------------------------------------------


def extract(whole: dict[str, Any]) -> dict[str, Any]:
    """The operations, all they refer to, and the first example of each good answer."""
    kept: dict[str, Any] = {"openapi": whole["openapi"], "info": whole["info"], "paths": {}, "x-examples": {}}
    for operation in OPERATIONS:
        method, _, path = operation.partition(" ")
        described = whole["paths"][path][method.lower()]
        kept["paths"].setdefault(path, {})[method.lower()] = described
        good = next(response for status, response in described["responses"].items() if status < "400")
        examples = good.get("content", {}).get("application/json", {}).get("examples", {})
        if examples:
            first = next(iter(examples.values()))
            while "$ref" in first:
                first = _at(whole, first["$ref"])
            kept["x-examples"][operation] = first["value"]
    _tidy(kept["paths"])
    wanted = _references(kept["paths"])
    while wanted:
        reference = wanted.pop()
        steps = reference.removeprefix("#/").split("/")
        place = kept
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        if steps[-1] not in place:
            place[steps[-1]] = copy.deepcopy(_at(whole, reference))
            _tidy(place[steps[-1]])
            wanted |= _references(place[steps[-1]])
    return kept


def _at(whole: dict[str, Any], reference: str) -> dict[str, Any]:
    found = whole
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def _references(thing: Any) -> set[str]:
    if isinstance(thing, list):
        return set().union(*(_references(one) for one in thing))
    if not isinstance(thing, dict):
        return set()
    own = {thing["$ref"]} if isinstance(thing.get("$ref"), str) else set()
    return own.union(*(_references(one) for one in thing.values()))


def _tidy(thing: Any) -> None:
    """Without examples and texts for people, which validate nothing; what is nullable may be null, also where its list
    of values leaves that out."""
    if isinstance(thing, list):
        for one in thing:
            _tidy(one)
    elif isinstance(thing, dict):
        for name in ("examples", "example", "x-github", "externalDocs"):
            thing.pop(name, None)
        if isinstance(thing.get("description"), str):
            del thing["description"]
        if thing.get("nullable") is True and isinstance(thing.get("enum"), list) and None not in thing["enum"]:
            thing["enum"].append(None)
        for one in thing.values():
            _tidy(one)


if __name__ == "__main__":
    source = json.loads(Path(sys.argv[1]).read_text())
    text = json.dumps(extract(source), separators=(",", ":"), sort_keys=True)
    VENDORED.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{VENDORED.name}: {len(OPERATIONS)} operations, {VENDORED.stat().st_size} bytes")
