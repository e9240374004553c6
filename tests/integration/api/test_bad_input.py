"""Every route of the API, given what no client should send.

The tables are multiplied: a route that is added is swept without a word here.  Whatever comes, the answer is never a
500, a refusal is always a JSON:API error document, and nothing half-written is left.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import itertools
import json
import tarfile
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from app import asgi, clock, runs
from app import settings as settings_module
from app.access import run_tokens, tokens
from app.access.actors import SYSTEM
from app.access.models import Token, User
from app.configurations.models import ConfigurationVersion
from app.jobs import claims
from app.jobs.models import Job
from app.organizations.models import Organization
from app.projects.models import Project
from app.runs.models import Run
from app.settings import Settings
from app.states.models import StateVersion
from app.storage.models import StoredObject
from app.variables.models import Variable
from app.workspaces.models import Workspace
from backend_api.jsonapi.resource import described
from tests import factories
from tests.api import EXTERNAL_URL, JSON_API, Client, document, error, pointer
from tests.migrated import migrated
from tests.services import Embedded, Parts


@pytest.fixture
async def settings(parts: Parts, tmp_path: Path) -> Settings:
    """No limit on how often: a sweep is quicker than any client."""
    return settings_module.load(
        data_dir=tmp_path,
        database_url=parts.prepared(migrated, "migrated"),
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
        external_url=EXTERNAL_URL,
        api_rate_limit=0,
    )


# -- what is sent ------------------------------------------------------------------------------------------------------

HUGE = 10**30
WRONG_VALUES: list[Any] = [
    None,
    1,
    -1,
    HUGE,
    1.5,
    True,
    "",
    "x\0y",
    "x" * 70_000,
    "ü☃𝕏",
    "../a b",
    [],
    [None],
    [[]],
    {},
]

BODIES: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "null": b"null",
    "number": b"1",
    "string": b'"x"',
    "array": b"[]",
    "array of documents": b'[{"data": {}}]',
    "no data": b"{}",
    "data null": b'{"data": null}',
    "data number": b'{"data": 1}',
    "data array": b'{"data": []}',
    "data array of what is nothing": b'{"data": [null, 1, [], {}, {"type": null}]}',
    "data empty": b'{"data": {}}',
    "type a number": b'{"data": {"type": 1}}',
    "wrong type": b'{"data": {"type": "elephants", "attributes": {"name": "x"}}}',
    "a list of the wrong type": b'{"data": [{"type": "elephants", "id": "x"}]}',
    "deep": b'{"data": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "deep and never closed": b'{"data": ' + b'{"a":' * 20_000,
    "NUL": b'{"data": {"type": "x\x00"}}',
    "no UTF-8": b'{"data": {"type": "\xff\xfe"}}',
    "UTF-16": '{"data": {}}'.encode("utf-16"),
    "half a surrogate": b'{"data": {"type": "\\ud800"}}',
    "infinite": b'{"data": 1e999}',
    "a number of 5000 digits": b'{"data": ' + b"9" * 5000 + b"}",
    "3 MB": b'{"data": "' + b"x" * 3_000_000 + b'"}',
}

WRONG_IDS = [
    "nothing",
    "x" * 300,
    "a b",
    "a%2Fb",
    "%00",
    "x%00y",
    quote("ü☃𝕏"),
    "%ff%fe",
    "..%2f..",
    "%",
    "'--",
    "*",
    "ws-",
]

QUERIES = [
    *(f"page[size]={value}" for value in ("100000", "-1", "0", "x", "", "1.5", str(HUGE), "%00", "%ff", "١")),
    *(f"page[number]={value}" for value in ("-1", "0", "x", "999999999", str(HUGE), "9" * 5000, "%00")),
    *(f"sort={value}" for value in ("x", "-", "%00", "name,name", "id;drop")),
    *(f"include={value}" for value in ("x", "%00", "a.b.c.d.e.f", "organization." * 40, "," * 500)),
    *(
        f"search[{key}]={value}"
        for key in ("name", "basic", "tags", "wildcard-name")
        for value in ("%00", "%ff", "%", "*")
    ),
    *(
        f"filter[{key}]={value}"
        for key in ("status", "operation", "source", "status_group", "project][id", "tagged][0][key", "names")
        for value in ("%00", "x" * 300, "%ff", ",,,")
    ),
    "filter[workspace][name]=%00&filter[organization][name]=acme",
    "filter[workspace][name]=net&filter[organization][name]=%00",
    "%00=%00&&&=&[[[]]]=1",
]


# -- what it is sent to ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One of everything that a path can name."""

    client: Client
    workspace: Workspace
    run: Run
    ids: dict[str, str]

    def path(self, pattern: str) -> str:
        found = {"organization": "acme", "name": "net", "variable": self.ids["variables"]}
        for word, id in self.ids.items():
            if pattern.startswith(f"/api/v2/{word}/{{id}}"):
                found["id"] = id
        for parameter, value in found.items():
            pattern = pattern.replace("{" + parameter + "}", value)
        return pattern


def state(serial: int = 1, lineage: str = "l-1", **other: Any) -> bytes:
    whole = {"version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage, "resources": []}
    return json.dumps({**whole, "outputs": {"note": {"value": "x", "type": "string"}}, **other}).encode()


def announced(content: bytes, *, inline: bool = True, **other: Any) -> dict[str, Any]:
    sent: dict[str, Any] = {"serial": 1, "lineage": "l-1", "md5": md5(content).hexdigest(), **other}
    return document("state-versions", sent | ({"state": base64.b64encode(content).decode()} if inline else {}))


@pytest.fixture
async def place(client: Client, owner: User, organization: Organization) -> Place:
    project = await factories.make_project(organization)
    workspace = await factories.make_workspace(organization, "net")
    variable: Variable = await factories.make_variable(workspace)
    path = f"/workspaces/{workspace.id}"
    await client.post(f"{path}/actions/lock")
    made = await client.post(f"{path}/state-versions", announced(state()))
    assert made.status_code == 201, made.text
    await client.post(f"{path}/actions/unlock")
    [output] = (await client.get(f"{path}/current-state-version-outputs")).json()["data"]
    run = await factories.plan(await factories.make_run(workspace))
    shown = (await client.get(f"/runs/{run.id}")).json()["data"]["relationships"]
    token = await Token.filter(user_id=owner.id).first()
    assert token is not None
    return Place(
        client,
        workspace,
        run,
        {
            "users": owner.id,
            "authentication-tokens": token.id,
            "projects": project.id,
            "workspaces": workspace.id,
            "runs": run.id,
            "plans": shown["plan"]["data"]["id"],
            "applies": shown["apply"]["data"]["id"],
            "configuration-versions": run.configuration_version_id,
            "state-versions": made.json()["data"]["id"],
            "state-version-outputs": output["id"],
            "variables": variable.id,
        },
    )


def calls(*methods: str) -> list[tuple[str, str]]:
    """Every (method, pattern) of the API."""
    routes = [route for route in asgi.routes(settings_module.current()) if route.path.startswith("/api/v2")]
    return [(method, route.path) for route in routes for method in route.methods if method in methods]


async def ask(client: Client, method: str, path: str, **given: Any) -> httpx2.Response:
    headers = {"content-type": JSON_API, "authorization": f"Bearer {client.token}", **given.pop("headers", {})}
    return await client.http.request(method, path, headers=headers, **given)


def fault(answer: httpx2.Response) -> str | None:
    """What is wrong with this answer to a bad request, if anything is."""
    if answer.status_code >= 500:
        return f"{answer.status_code} {answer.text[:300]}"
    if answer.status_code < 400:
        return None
    try:
        errors = answer.json()["errors"]
        assert answer.headers["content-type"].startswith(JSON_API)
        assert errors
        assert all(one["status"] == str(answer.status_code) and one["title"] for one in errors)
        assert all(isinstance(one["detail"], str) for one in errors)
    except (ValueError, KeyError, TypeError, AssertionError):
        return f"{answer.status_code} without an error document: {answer.text[:300]}"
    return None


class Faults(list[str]):
    """All of a sweep, so that one run of the test shows every one."""

    async def probe(self, what: str, client: Client, method: str, path: str, **given: Any) -> httpx2.Response | None:
        try:
            answer = await ask(client, method, path, **given)
        except Exception as error:  # a bug of the application arrives here as itself
            self.append(f"{method} {path[:120]} [{what}]: {type(error).__name__} {str(error)[:300]}")
            return None
        if (found := fault(answer)) is not None:
            self.append(f"{method} {path[:120]} [{what}]: {found}")
        return answer


COUNTED: tuple[Any, ...] = (
    Organization, Project, Workspace, Variable, ConfigurationVersion, StateVersion, StoredObject, Run, Job, Token,
)  # fmt: skip


async def rows() -> dict[str, int]:
    return {model.__name__: await model.all().count() for model in COUNTED}


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


#: What is listed of whoever else is asked for is nothing, as the API documents it.
EMPTY_FOR_OTHERS = ("GET", "/api/v2/users/{id}/authentication-tokens")


def hides(answer: httpx2.Response, method: str, pattern: str) -> bool:
    """Whether *answer* tells nothing of what the caller may not see."""
    if answer.status_code == 200 and (method, pattern) == EMPTY_FOR_OTHERS:
        return bool(answer.json()["data"] == [])
    return answer.status_code == 404


# -- the sweeps --------------------------------------------------------------------------------------------------------

#: Routes that need no body: sent none, they do what they are for.
BODYLESS = ("/configuration-versions", "/authentication-tokens")


async def test_a_body_that_is_none_is_refused_by_every_route_and_changes_nothing(place: Place) -> None:
    before, faults = await rows(), Faults()
    for method, pattern in calls("POST", "PATCH", "PUT"):
        if "/actions/" in pattern:
            continue  # swept below: an action may be sent anything
        for what, body in BODIES.items():
            if what == "empty" and pattern.endswith(BODYLESS):
                continue
            answer = await faults.probe(what, place.client, method, place.path(pattern), content=body)
            if what == "3 MB" and answer is not None and answer.status_code != 413 and "state-versions" not in pattern:
                faults.append(f"{method} {pattern}: 3 MB got {answer.status_code}")
    assert faults == []
    assert await rows() == before


async def test_an_action_that_needs_no_body_answers_any(place: Place) -> None:
    faults = Faults()
    for method, pattern in calls("POST", "DELETE"):
        # A path of a thing that is not there: what the body is must not matter for that answer.
        path = pattern.replace("{organization}", "acme")
        for parameter in ("{id}", "{name}", "{variable}"):
            path = path.replace(parameter, "nothing")
        for what, body in BODIES.items():
            await faults.probe(what, place.client, method, path, content=body)
    for action in ("apply", "discard", "cancel", "force-cancel"):
        for what, body in BODIES.items():
            await faults.probe(
                what, place.client, "POST", f"/api/v2/runs/{place.run.id}/actions/{action}", content=body
            )
    assert faults == []


async def test_no_attribute_takes_a_value_that_breaks_the_server(place: Place) -> None:
    faults = Faults()
    described_by_type = described()
    for method, pattern in calls("POST", "PATCH"):
        words = [word for word in pattern.split("/") if word and not word.startswith("{")]
        type = {"tags": "tags", "tag-bindings": "tag-bindings"}.get(words[-1], words[-1])
        for one in described_by_type.get(type, []):
            if not one.writable:
                continue
            part = "attributes" if one.kind == "attribute" else "relationships"
            for value in WRONG_VALUES:
                data: dict[str, Any] = {"type": type, part: {one.name: value}}
                if part == "attributes":
                    data[part] = {
                        "name": "x",
                        "key": "k",
                        "category": "env",
                        "serial": 2,
                        "md5": "0" * 32,
                        **data[part],
                    }
                body = json.dumps({"data": data}).encode()
                what = f"{one.name} = {str(value)[:40]!r}"
                await faults.probe(what, place.client, method, place.path(pattern), content=body)
    for wrong in WRONG_VALUES:
        body = json.dumps({"data": {"type": "runs", "relationships": {"workspace": {"data": wrong}}}}).encode()
        await faults.probe("workspace", place.client, "POST", "/api/v2/runs", content=body)
        body = json.dumps({"data": {"type": "tag-bindings", "attributes": {"key": wrong, "value": wrong}}}).encode()
        path = f"/api/v2/workspaces/{place.workspace.id}/tag-bindings"
        await faults.probe(f"tag {str(wrong)[:40]}", place.client, "PATCH", path, content=body.replace(b"{", b"{", 1))
    assert faults == []


async def test_a_path_that_names_nothing_is_404_however_it_is_written(place: Place) -> None:
    faults = Faults()
    for method, pattern in calls("GET", "DELETE"):
        for parameter in ("{organization}", "{id}", "{name}", "{variable}"):
            if parameter not in pattern:
                continue
            for wrong in WRONG_IDS:
                path = place.path(pattern.replace(parameter, wrong))
                answer = await faults.probe(wrong[:20], place.client, method, path)
                if answer is not None and not hides(answer, method, pattern):
                    faults.append(f"{method} {path[:120]}: {answer.status_code}")
    assert faults == []


async def test_a_query_is_read_as_far_as_it_makes_sense(place: Place) -> None:
    faults = Faults()
    for method, pattern in calls("GET"):
        shows_one = pattern.endswith("}")  # which pages, sorts and filters nothing
        for query in QUERIES[:: 8 if shows_one else 1]:
            answer = await faults.probe(query[:60], place.client, method, f"{place.path(pattern)}?{query}")
            if answer is not None and answer.status_code == 200 and query == "page[size]=100000":
                pagination = (answer.json().get("meta") or {}).get("pagination")
                if pagination and pagination["page-size"] > 100:
                    faults.append(f"{pattern}: a page of {pagination['page-size']}")
    assert faults == []


async def test_what_a_query_says_wrong_is_named(place: Place) -> None:
    workspace = f"/workspaces/{place.workspace.id}"
    states = "/state-versions?filter[organization][name]=acme"
    for path, parameter, status in (
        (f"{workspace}/runs?filter[status_group]=x", "filter[status_group]", 422),
        (f"{workspace}/runs?page[size]=x", "page[size]", 422),
        (f"{workspace}/run-triggers?filter[run-trigger][type]=x", "filter[run-trigger][type]", 400),
        (f"{states}&filter[workspace][name]=net&filter[status]=x", "filter[status]", 422),
        (states, "filter[workspace][name]", 422),
        ("/organizations/acme/workspaces?sort=x", "sort", 400),
        (f"/organizations/acme/workspaces?search[tags]={','.join(map(str, range(99)))}", "search[tags]", 422),
    ):
        refused = await place.client.get(path)
        assert (refused.status_code, error(refused)["source"]) == (status, {"parameter": parameter}), path


async def test_an_action_whose_body_is_a_list_is_refused_and_says_what_would_do(place: Place) -> None:
    for path in (f"/workspaces/{place.workspace.id}/actions/lock", f"/runs/{place.run.id}/actions/discard"):
        refused = await place.client.post(path, [])
        assert pointer(refused) == ""
        assert "a JSON object, or empty" in error(refused)["detail"]


# -- who asks ----------------------------------------------------------------------------------------------------------


async def test_a_token_that_is_none_is_401_on_every_route(place: Place, owner: User, anonymous: Client) -> None:
    expired, text = await tokens.create(SYSTEM, owner)
    await Token.filter(id=expired.id).update(expires_at=clock.now() - timedelta(seconds=1))
    ended = await finished_run_token(place)
    wrong = {
        "missing": {"authorization": ""},
        "no word": {"authorization": "Bearer"},
        "basic": {"authorization": "Basic YTpi"},
        "malformed": {"authorization": "Bearer x y z"},
        "long": {"authorization": "Bearer " + "x" * 8000},
        "a typing error": {"authorization": f"Bearer {place.client.token}x"},
        "expired": {"authorization": f"Bearer {text.reveal()}"},
        "of a finished run": {"authorization": f"Bearer {ended}"},
    }
    before, faults = await rows(), Faults()
    for method, pattern in calls("GET", "POST", "PATCH", "PUT", "DELETE"):
        for what, headers in wrong.items():
            answer = await faults.probe(what, anonymous, method, place.path(pattern), headers=headers)
            if answer is not None and answer.status_code != 401:
                faults.append(f"{method} {pattern} [{what}]: {answer.status_code}")
    assert faults == []
    assert await rows() == before


async def finished_run_token(place: Place) -> str:
    run = await factories.make_run(await factories.make_workspace())
    claimed = await factories.take_job()
    token = await run_tokens.mint(claimed.job, run)
    await claims.close(claimed.claim)
    return token.reveal()


#: Answered without asking about anything of an organization's.
OPEN = {"/api/v2/", "/api/v2/ping", "/api/v2/account/details", "/api/v2/organizations"}


async def test_what_one_may_not_see_is_404_on_every_route_and_never_403(place: Place, stranger: Client) -> None:
    before, faults = await rows(), Faults()
    for method, pattern in calls("GET", "POST", "PATCH", "PUT", "DELETE"):
        if pattern in OPEN or "{" not in pattern:
            continue
        answer = await faults.probe("stranger", stranger, method, place.path(pattern), content=b'{"data": {}}')
        if answer is not None and not hides(answer, method, pattern):
            faults.append(f"{method} {pattern}: {answer.status_code} {answer.text[:200]}")
        id = next((id for word, id in place.ids.items() if pattern.startswith(f"/api/v2/{word}/{{id}}")), None)
        if answer is not None and id is not None:
            path = place.path(pattern).replace(id, "x-1")
            missing = await faults.probe("missing", stranger, method, path, content=b'{"data": {}}')
            if missing is not None and missing.text.replace("x-1", id) != answer.text:
                faults.append(f"{method} {pattern}: {answer.text[:200]} differs from {missing.text[:200]}")
    assert faults == []
    assert await rows() == before


# -- ten at once -------------------------------------------------------------------------------------------------------


async def test_of_ten_confirmations_at_once_one_is_taken(place: Place) -> None:
    path = f"/api/v2/runs/{place.run.id}/actions/apply"
    answers = await asyncio.gather(*(ask(place.client, "POST", path, json={"comment": "go"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 9]
    assert [fault(answer) for answer in answers] == [None] * 10
    assert await Job.filter(run_id=place.run.id, phase="apply").count() == 1


async def test_a_confirmation_and_a_discard_at_once_do_not_both_count(place: Place) -> None:
    path = f"/api/v2/runs/{place.run.id}/actions"
    actions = ["apply", "discard"] * 5
    answers = await asyncio.gather(*(ask(place.client, "POST", f"{path}/{action}") for action in actions))
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 9]
    await place.run.refresh_from_db()
    assert await Job.filter(run_id=place.run.id, phase="apply").count() == (place.run.status != "discarded")
    if place.run.status != "discarded":
        await runs.cancel(SYSTEM, place.run)


# -- archives ----------------------------------------------------------------------------------------------------------


def packed(*entries: tarfile.TarInfo) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w:gz") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return into.getvalue()


def entry(name: str, type: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = type, link, size
    return made


def many_entries() -> bytes:
    return gzip.compress(b"".join(entry(f"{number}.tf").tobuf() for number in range(200_000)), 1)


async def zeros() -> AsyncIterator[bytes]:
    """A tar of one file of 2 GB of zeros, of which each megabyte is packed by itself: two megabytes on the wire."""
    packer = zlib.compressobj(1, wbits=31)
    yield packer.compress(entry("zeros.tf", size=2 * 1024**3).tobuf()) + packer.flush(zlib.Z_FULL_FLUSH)
    megabyte = packer.compress(bytes(1024**2)) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(2 * 1024):
        yield megabyte


def archives() -> Iterator[tuple[str, Any]]:
    whole = factories.archive({"main.tf": "# " + "abcdefgh" * 5000})
    yield "not gzip", b"PK\x03\x04 this is a zip"
    yield "nothing", b""
    yield "truncated", whole[: len(whole) // 2]
    yield "checksum", whole[:-8] + b"\0" * 8
    yield "up", packed(entry("main.tf"), entry("a/../../evil.tf"))
    yield "absolute", packed(entry("main.tf"), entry("/etc/evil"))
    yield "link out", packed(entry("main.tf"), entry("out", tarfile.SYMTYPE, "../../etc/passwd"))
    yield "hard link out", packed(entry("main.tf"), entry("out", tarfile.LNKTYPE, "/etc/passwd"))
    yield "written through a link", packed(entry("d", tarfile.SYMTYPE, "/tmp"), entry("d/evil.tf"))
    yield "device", packed(entry("main.tf"), entry("null", tarfile.CHRTYPE))
    yield "block device", packed(entry("main.tf"), entry("sda", tarfile.BLKTYPE))
    yield "pipe", packed(entry("main.tf"), entry("pipe", tarfile.FIFOTYPE))


def large_archives() -> Iterator[tuple[str, Any]]:
    """They take seconds, and are refused before a database or an object store hears of them."""
    yield "2 GB of zeros", zeros()
    yield "200 000 entries", many_entries()


async def test_a_bad_archive_leaves_its_version_errored_and_no_blob(
    place: Place, settings: Settings, parts: Parts
) -> None:
    objects_before = await StoredObject.all().count()
    kept = files(settings.data_dir / "objects")
    for what, content in itertools.chain(archives(), large_archives() if parts.name == Embedded.name else ()):
        path = f"/workspaces/{place.workspace.id}/configuration-versions"
        made = await place.client.post(path, document("configuration-versions", {"auto-queue-runs": False}))
        url = made.json()["data"]["attributes"]["upload-url"]
        answer = await place.client.http.put(url, content=content)
        assert answer.status_code == 422, (what, answer.status_code, answer.text)
        assert fault(answer) is None, what
        version = await ConfigurationVersion.get(id=made.json()["data"]["id"])
        assert (version.status, version.archive_id) == ("errored", None), what
        assert version.error_message, what
        assert ("setting STATEROOM_" in version.error_message) == what[0].isdigit(), (what, version.error_message)
    assert await StoredObject.all().count() == objects_before
    assert files(settings.data_dir / "objects") == kept


# -- states ------------------------------------------------------------------------------------------------------------

BAD_STATES: list[tuple[str, bytes, dict[str, Any], int]] = [
    ("not JSON", b"I am no state", {"serial": 2}, 422),
    ("half", state(2)[:-20], {"serial": 2}, 422),
    ("an array", b"[]", {"serial": 2}, 422),
    ("an empty object", b"{}", {"serial": 2}, 422),
    ("no version", b'{"serial":2,"lineage":"l-1"}', {"serial": 2}, 422),
    ("no serial", b'{"version":4,"lineage":"l-1"}', {"serial": 2}, 422),
    ("no lineage", b'{"version":4,"serial":2}', {"serial": 2, "lineage": None}, 422),
    ("a version not made yet", b'{"version":99,"serial":2,"lineage":"l-1"}', {"serial": 2}, 422),
    ("a version in quotes", b'{"version":"4","serial":2,"lineage":"l-1"}', {"serial": 2}, 422),
    ("an empty lineage", state(2, ""), {"serial": 2, "lineage": None}, 409),
    ("an empty lineage under another's name", state(2, ""), {"serial": 2}, 422),
    ("wrong md5", state(2), {"serial": 2, "md5": "0" * 32}, 422),
    ("md5 that is none", state(2), {"serial": 2, "md5": "x"}, 422),
    ("another serial inside", state(3), {"serial": 2}, 422),
    ("older", state(0), {"serial": 0}, 409),
    ("same serial, other bytes", state(1, check_results=None), {"serial": 1}, 409),
    ("another lineage", state(2, "l-2"), {"serial": 2, "lineage": "l-2"}, 409),
]


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "uploaded"])
async def test_a_bad_state_is_refused_and_the_current_one_stays(place: Place, settings: Settings, inline: bool) -> None:
    await runs.discard(SYSTEM, place.run)
    path = f"/workspaces/{place.workspace.id}"
    assert (await place.client.post(f"{path}/actions/lock")).status_code == 200
    current = (await place.client.get(f"{path}/current-state-version")).json()["data"]["id"]
    blobs, kept = await StoredObject.all().count(), files(settings.data_dir / "objects")
    for what, content, given, expected in BAD_STATES:
        answer = await place.client.post(f"{path}/state-versions", announced(content, inline=inline, **given))
        if answer.status_code == 201:
            url = answer.json()["data"]["attributes"]["hosted-state-upload-url"]
            answer = await place.client.http.put(url, content=content)
        assert answer.status_code == expected, (what, answer.status_code, answer.text)
        assert fault(answer) is None, what
        now = (await place.client.get(f"{path}/current-state-version")).json()["data"]["id"]
        assert now == current, what
    assert await StateVersion.filter(status="finalized").count() == 1
    assert await StoredObject.all().count() == blobs
    assert files(settings.data_dir / "objects") == kept


async def test_a_state_without_the_lock_is_409_and_leaves_nothing(place: Place) -> None:
    await runs.discard(SYSTEM, place.run)
    before = await rows()
    path = f"/workspaces/{place.workspace.id}/state-versions"
    for inline in (True, False):
        answer = await place.client.post(path, announced(state(2), inline=inline, serial=2))
        assert answer.status_code == 409, answer.text
        assert fault(answer) is None
    assert await rows() == before
