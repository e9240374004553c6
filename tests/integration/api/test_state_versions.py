"""State versions over HTTP: written in both ways, read, rolled back, their content deleted."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from hashlib import md5
from typing import Any

import httpx2
import pytest

from app import clock, ids, states
from app.access.models import Membership, User
from app.organizations.models import Organization
from app.runs.models import Run
from app.states import arrival, history, processing
from app.states.models import StateVersion
from app.storage import objects
from app.storage.models import StoredObject
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error

LINEAGE = "11111111-2222-3333-4444-555555555555"


def state(serial: int, note: str = "x", lineage: str = LINEAGE) -> bytes:
    """Written as no JSON library would: what comes back must be these bytes."""
    outputs = {
        "note": {"value": note, "type": "string"},
        "secret": {"value": "hush", "type": "string", "sensitive": True},
        "list": {"value": [1, 2.50], "type": ["tuple", ["number", "number"]]},
    }
    resource = '{"mode":"%s","type":"%s","name":"a","provider":"p","instances":[{},{"index_key": 1.10}]}'
    resources = ",\n".join(
        resource % kind for kind in (("managed", "aws_vpc"), ("managed", "null_resource"), ("data", "d"))
    )
    text = f'{{ "version": 4,\n  "terraform_version": "1.11.4", "serial" :  {serial},\n"lineage": "{lineage}",'
    return (text + f'"big": 1e400,\n"outputs": {json.dumps(outputs)},\n "resources": [{resources}]}}\n').encode()


def announced(content: bytes, serial: int, **more: Any) -> dict[str, Any]:
    sent = {"serial": serial, "md5": md5(content).hexdigest(), "lineage": LINEAGE, **more}
    return document("state-versions", sent)


@pytest.fixture
async def workspace(client: Client, organization: Organization) -> Workspace:
    """A workspace that alice has locked."""
    made = await factories.make_workspace(organization, "net")
    assert (await client.post(f"/workspaces/{made.id}/actions/lock")).status_code == 200
    return made


async def push(client: Client, workspace: Workspace, serial: int, note: str = "x") -> str:
    content = state(serial, note)
    sent = announced(content, serial, state=base64.b64encode(content).decode())
    response = await client.post(f"/workspaces/{workspace.id}/state-versions", sent)
    assert response.status_code == 201, response.text
    return str(response.json()["data"]["id"])


async def announce(client: Client, workspace: Workspace, serial: int) -> str:
    """A version whose bytes do not come."""
    made = await client.post(f"/workspaces/{workspace.id}/state-versions", announced(state(serial), serial))
    return str(made.json()["data"]["id"])


async def current(client: Client, workspace: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/workspaces/{workspace.id}/current-state-version")).json()["data"]
    return found


async def download(client: Client, url: str) -> httpx2.Response:
    return await Client(client.http).get("/" + url.removeprefix("https://stateroom.test"))


def rollback_to(version: str) -> dict[str, Any]:
    return document(
        "state-versions", relationships={"rollback-state-version": {"data": {"type": "state-versions", "id": version}}}
    )


# Written


async def test_a_state_is_pending_until_its_bytes_have_come_and_then_says_everything(
    client: Client, workspace: Workspace
) -> None:
    content = state(1)
    made = await client.post(f"/workspaces/{workspace.id}/state-versions", announced(content, 1))
    assert made.status_code == 201
    said = attributes(made)
    assert (said["status"], said["resources-processed"], said["hosted-state-download-url"]) == ("pending", False, None)
    assert made.headers["x-terraform-snapshot-interval"] == "20"
    assert (await client.get(f"/workspaces/{workspace.id}/current-state-version")).status_code == 404
    assert (await client.post(f"/workspaces/{workspace.id}/actions/unlock")).status_code == 503
    uploads = [said["hosted-state-upload-url"], said["hosted-json-state-upload-url"]]
    for url, body in zip(uploads, (content, b'{"format_version":"1.0"}'), strict=True):
        answer = await client.http.put(url, content=body)
        assert answer.status_code == 200, answer.text
    found = attributes(await client.get(f"/state-versions/{made.json()['data']['id']}"))
    assert {key: found[key] for key in ("status", "size", "serial", "state-version", "terraform-version")} == {
        "status": "finalized",
        "size": len(content),
        "serial": 1,
        "state-version": 4,
        "terraform-version": "1.11.4",
    }
    assert found["resources-processed"] is True
    assert found["resources"][0] == {
        "name": "a", "type": "aws_vpc", "count": 2, "module": "root", "provider": "p", "mode": "managed",
    }  # fmt: skip
    assert found["modules"] == {"root": {"aws_vpc": 2, "null_resource": 2, "data.d": 2}}
    assert found["providers"] == {"p": {"aws_vpc": 2, "null_resource": 2, "data.d": 2}}
    assert (found["billable-rum-count"], found["intermediate"]) == (2, False)
    assert (found["hosted-state-upload-url"], found["hosted-json-state-upload-url"]) == (None, None)
    assert (await download(client, found["hosted-state-download-url"])).content == content
    assert (await download(client, found["hosted-json-state-download-url"])).json() == {"format_version": "1.0"}


async def test_versions_know_their_neighbours_their_makers_and_their_outputs(
    client: Client, workspace: Workspace, owner: User
) -> None:
    first, second = [await push(client, workspace, serial) for serial in (1, 2)]
    path = f"/state-versions/{first}?include=outputs,created_by,workspace,next_state_version,run"
    answer = (await client.get(path)).json()
    relations = {name: one["data"] for name, one in answer["data"]["relationships"].items()}
    assert relations["previous-state-version"] is None
    assert relations["next-state-version"] == {"type": "state-versions", "id": second}
    assert relations["created-by"] == {"type": "users", "id": owner.id}
    assert (relations["run"], relations["rollback-state-version"]) == (None, None)
    included = {one["type"]: one for one in answer["included"]}
    assert included["users"]["attributes"]["username"] == "alice"
    assert included["workspaces"]["id"] == workspace.id
    values = {
        one["attributes"]["name"]: one["attributes"]
        for one in answer["included"]
        if one["type"] == "state-version-outputs"
    }
    assert values["list"]["detailed-type"] == ["tuple", ["number", "number"]]
    assert values["secret"]["value"] is None
    assert (await current(client, workspace))["id"] == second


async def test_a_run_is_named_with_the_version_it_wrote_and_its_creator_is_the_versions(
    client: Client, organization: Organization, owner: User
) -> None:
    workspace = await factories.make_workspace(organization)
    run = await factories.make_run(workspace, actor=await factories.actor_of(owner))
    content = state(1)

    await states.recover(workspace, run.id, factories.chunks(content))
    include = "run,run.created_by,run.configuration_version,created_by"
    answer = (await client.get(f"/workspaces/{workspace.id}/current-state-version?include={include}")).json()
    assert answer["data"]["relationships"]["run"]["data"]["id"] == run.id
    assert answer["data"]["relationships"]["created-by"]["data"]["id"] == owner.id
    assert {one["type"] for one in answer["included"]} == {"runs", "users", "configuration-versions"}


async def test_a_sensitive_output_tells_its_value_only_when_asked_for_by_itself(
    client: Client, stranger: Client, workspace: Workspace
) -> None:
    version = await push(client, workspace, 1)
    for path in (f"/workspaces/{workspace.id}/current-state-version-outputs", f"/state-versions/{version}/outputs"):
        listed = {one["attributes"]["name"]: one for one in (await client.get(path)).json()["data"]}
        assert {name: one["attributes"]["value"] for name, one in listed.items()} == {
            "note": "x",
            "secret": None,
            "list": [1, 2.5],
        }
        assert listed["secret"]["attributes"]["type"] == "string"
        assert listed["secret"]["attributes"]["detailed-type"] == "string"
        assert (await stranger.get(path)).status_code == 404
    secret = f"/state-version-outputs/{listed['secret']['id']}"
    assert attributes(await client.get(secret))["value"] == "hush"
    assert (await stranger.get(secret)).status_code == 404


async def test_versions_are_listed_by_workspace_and_status(
    client: Client, stranger: Client, workspace: Workspace
) -> None:
    ids = [await push(client, workspace, serial) for serial in (1, 2, 3)]
    waiting = (await client.post(f"/workspaces/{workspace.id}/state-versions", announced(state(4), 4))).json()["data"][
        "id"
    ]
    named = {"filter[workspace][name]": "net", "filter[organization][name]": "acme"}

    async def listed(status: str | None = None, **more: str) -> list[str]:
        params = named | more | ({"filter[status]": status} if status else {})
        return [one["id"] for one in (await client.get("/state-versions", params=params)).json()["data"]]

    assert await listed() == [waiting, *ids[::-1]]
    assert await listed("pending") == [waiting]
    assert await listed("finalized", **{"page[size]": "2"}) == ids[:0:-1]
    assert await listed("discarded") == []
    assert (await client.get("/state-versions", params=named | {"filter[status]": "odd"})).status_code == 422
    assert (await client.get("/state-versions", params={"filter[workspace][name]": "net"})).status_code == 422
    assert (await stranger.get("/state-versions", params=named)).status_code == 404


async def test_while_a_run_holds_the_workspace_nobody_else_writes_its_state(
    client: Client, organization: Organization
) -> None:
    workspace = await factories.make_workspace(organization)
    run = await factories.make_run(workspace)
    path, content = f"/workspaces/{workspace.id}/state-versions", state(1)
    inline = {"state": base64.b64encode(content).decode()}
    for more in ({}, inline, {"force": True}, {"force": True, **inline}):
        refused = await client.post(path, announced(content, 1, **more))
        assert refused.status_code == 409
        assert "only by whoever holds the workspace's lock" in error(refused)["detail"]
    locked = await client.post(f"/workspaces/{workspace.id}/actions/lock")
    assert (locked.status_code, f"Run {run.id}" in error(locked)["detail"]) == (409, True)
    assert await StateVersion.filter(workspace_id=workspace.id).count() == 0
    assert await StoredObject.filter(kind="state").count() == 0


async def test_bytes_that_are_not_what_was_announced_are_refused_and_the_right_ones_may_follow(
    client: Client, workspace: Workspace
) -> None:
    made = await client.post(f"/workspaces/{workspace.id}/state-versions", announced(state(1), 1))
    url = attributes(made)["hosted-state-upload-url"]
    for wrong, why in (
        (state(1)[:-9], "it ends in the middle"),
        (state(2), "MD5"),
        (state(1, lineage="other"), "MD5"),
        (b"", "it is empty"),
    ):
        refused = await client.http.put(url, content=wrong)
        assert (refused.status_code, why in refused.text) == (422, True), refused.text
    assert [(await client.http.put(url, content=state(1))).status_code for _ in range(2)] == [200, 200]
    late = await client.http.put(url, content=state(1, "another"))
    assert late.status_code in (409, 422)
    assert (
        await download(client, (await current(client, workspace))["attributes"]["hosted-state-download-url"])
    ).content == state(1)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_the_json_form_of_a_state_is_json(client: Client, workspace: Workspace) -> None:
    path, content = f"/workspaces/{workspace.id}/state-versions", state(1)
    inline = {"state": base64.b64encode(content).decode()}
    bad = {"zzz": "is not base64", "enp6": "is not JSON", "eyJh": "is not JSON", "W05hTl0=": "NaN"}
    for name in ("json-state", "json-state-outputs"):
        for wrong, why in bad.items():
            refused = await client.post(path, announced(content, 1, **inline, **{name: wrong}))
            assert (refused.status_code, why in error(refused)["detail"]) == (422, True), refused.text
            assert error(refused)["source"]["pointer"] == f"/data/attributes/{name}"
    assert await StateVersion.all().count() == 0

    made = await client.post(path, announced(content, 1))
    url = attributes(made)["hosted-json-state-upload-url"]
    for body in (b"zzz", b"", b'{"format_version":', b'{"a": NaN}', b"{} {}"):
        refused = await client.http.put(url, content=body)
        assert (refused.status_code, "json-state is not JSON: " in refused.text) == (422, True), refused.text
    assert await StoredObject.all().count() == 0
    assert (await client.http.put(url, content=b'{"format_version":"1.0"}')).status_code == 200


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_old_client_that_has_no_json_form_sends_an_empty_one(client: Client, workspace: Workspace) -> None:
    content = state(1)
    without = {"json-state": "", "json-state-outputs": ""}
    sent = announced(content, 1, state=base64.b64encode(content).decode(), **without)
    made = await client.post(f"/workspaces/{workspace.id}/state-versions", sent)
    assert (made.status_code, attributes(made)["hosted-json-state-download-url"]) == (201, None)
    content, form = state(2), base64.b64encode(b"{}").decode()
    sent = announced(content, 2, state=base64.b64encode(content).decode(), **dict.fromkeys(without, form))
    made = await client.post(f"/workspaces/{workspace.id}/state-versions", sent)
    assert made.status_code == 201
    assert (await download(client, attributes(made)["hosted-json-state-download-url"])).json() == {}


async def test_bytes_that_never_come_are_given_up_and_hold_no_lock(client: Client, workspace: Workspace) -> None:
    version = await announce(client, workspace, 1)
    assert await history.discard_overdue() == 0
    overdue = clock.now() - timedelta(seconds=history.UPLOAD_SECONDS + 1)
    link = attributes(await client.get(f"/state-versions/{version}"))["hosted-state-upload-url"]
    await StateVersion.filter(id=version).update(created_at=overdue)
    assert await history.discard_overdue() == 1
    refused = await client.http.put(link, content=state(1))
    assert (refused.status_code, "given up" in refused.text) == (409, True)
    assert (await client.post(f"/workspaces/{workspace.id}/actions/unlock")).status_code == 200
    assert await history.sweep() == 1
    assert (await client.get(f"/state-versions/{version}")).status_code == 404
    assert await StoredObject.filter(kind="state").count() == 0


@pytest.fixture
def reading_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state is too long to be read on its way."""
    monkeypatch.setattr(arrival, "READ_ON_ITS_WAY", 0)


@pytest.mark.usefixtures("reading_nothing")
async def test_a_long_state_is_current_at_once_and_read_afterwards(client: Client, workspace: Workspace) -> None:
    version = await push(client, workspace, 1)
    found = attributes(await client.get(f"/state-versions/{version}"))
    assert (found["status"], found["serial"], found["terraform-version"]) == ("finalized", 1, "1.11.4")
    assert (found["resources-processed"], found["resources"], found["billable-rum-count"]) == (False, None, None)
    assert (await download(client, found["hosted-state-download-url"])).content == state(1)
    outputs = f"/workspaces/{workspace.id}/current-state-version-outputs"
    waiting = await client.get(outputs)
    assert (waiting.status_code, error(waiting)["title"]) == (503, "service unavailable")
    assert await processing.read_waiting() == 1
    assert await processing.read_waiting() == 0
    assert attributes(await client.get(f"/state-versions/{version}"))["resources-processed"] is True
    assert len((await client.get(outputs)).json()["data"]) == 3
    assert (await Workspace.get(id=workspace.id)).resource_count == 4


@pytest.mark.usefixtures("reading_nothing")
@pytest.mark.parametrize(
    "content",
    [
        b'{"version": 4, "serial": 1, "resources": [}',
        b'{"version": 4, "serial": 1, "outputs": {',
        b'[{"serial": 1}]',
        b'{"serial": 2}',
        b'{"serial": 1, "lineage": "other"}',
        b'{"serial": 1, "outputs": {"x": {"value": ' + b"[" * 300 + b"]" * 300 + b"}}}",
    ],
)
async def test_a_long_state_that_is_none_is_refused_when_it_comes(
    client: Client, workspace: Workspace, content: bytes
) -> None:
    sent = announced(content, 1, state=base64.b64encode(content).decode())
    assert (await client.post(f"/workspaces/{workspace.id}/state-versions", sent)).status_code == 422
    assert (await client.get(f"/workspaces/{workspace.id}/current-state-version")).status_code == 404


# Rolled back


async def test_a_rollback_is_the_old_bytes_with_a_higher_serial(
    client: Client, workspace: Workspace, owner: User
) -> None:
    old, newer = await push(client, workspace, 3, "old"), await push(client, workspace, 8, "new")
    path = f"/workspaces/{workspace.id}/state-versions"
    answer = await client.patch(path, rollback_to(old))
    assert answer.status_code == 201, answer.text
    made = answer.json()["data"]
    assert made["relationships"]["rollback-state-version"]["data"]["id"] == old
    assert made["relationships"]["previous-state-version"]["data"]["id"] == newer
    assert made["relationships"]["created-by"]["data"]["id"] == owner.id
    assert (made["attributes"]["serial"], made["attributes"]["status"]) == (9, "finalized")
    got = (await download(client, made["attributes"]["hosted-state-download-url"])).content
    assert got == state(3, "old").replace(b'"serial" :  3,', b'"serial" :  9,')
    assert (await current(client, workspace))["id"] == made["id"]
    assert attributes(await client.get(f"/workspaces/{workspace.id}"))["locked"] is True
    again = await client.patch(path, rollback_to(old))
    assert (again.status_code, again.json()["data"]["id"]) == (201, made["id"])
    assert (await client.patch(path, rollback_to(newer))).json()["data"]["attributes"]["serial"] == 10


async def test_a_rollback_needs_the_lock_and_a_version_to_go_back_to(
    client: Client, stranger: Client, anonymous: Client, organization: Organization, workspace: Workspace
) -> None:
    old, newest = await push(client, workspace, 1), await push(client, workspace, 2)
    elsewhere = await factories.make_workspace(organization)
    await client.post(f"/workspaces/{elsewhere.id}/actions/lock")
    foreign = await push(client, elsewhere, 1)
    path = f"/workspaces/{workspace.id}/state-versions"
    for wrong in (foreign, "sv-none", "x" * 300):
        assert (await client.patch(path, rollback_to(wrong))).status_code == 422
    bodies: list[Any] = [{}, {"data": {}}, document("state-versions"), rollback_to("")]
    for body in bodies:
        assert (await client.patch(path, body)).status_code == 422
    assert (await client.patch(path, rollback_to(newest))).status_code == 409
    assert (await stranger.patch(path, rollback_to(old))).status_code == 404
    bob = await factories.make_user("bob")
    await Membership.create(
        id=ids.new("organization_membership"), user_id=bob.id, organization_id=organization.id, created_at=clock.now()
    )
    assert (await (await anonymous.as_user(bob)).patch(path, rollback_to(old))).status_code == 409
    await client.post(f"/workspaces/{workspace.id}/actions/unlock")
    refused = await client.patch(path, rollback_to(old))
    assert refused.status_code == 409
    assert "Lock the workspace first" in error(refused)["detail"]
    assert (await current(client, workspace))["id"] == newest
    assert await StateVersion.filter(workspace_id=workspace.id).count() == 2
    assert await StoredObject.filter(kind="state").count() == 3


async def test_a_rollback_discards_the_saved_plans_made_before_it(
    client: Client, organization: Organization, workspace: Workspace
) -> None:
    old = await push(client, workspace, 1)
    newest = await push(client, workspace, 2)
    await client.post(f"/workspaces/{workspace.id}/actions/unlock")
    run = await factories.make_run(workspace, save_plan=True)
    await factories.plan(run)

    await Run.filter(id=run.id).update(input_state_version_id=newest)
    assert (await Run.get(id=run.id)).status == "planned_and_saved"
    assert (await client.post(f"/workspaces/{workspace.id}/actions/lock")).status_code == 200
    assert (await client.patch(f"/workspaces/{workspace.id}/state-versions", rollback_to(old))).status_code == 201
    assert (await Run.get(id=run.id)).status == "discarded"


# Deleted


async def act(client: Client, version: str, action: str) -> httpx2.Response:
    return await client.post(f"/state-versions/{version}/actions/{action}_backing_data")


async def test_content_is_deleted_restored_and_deleted_for_good_and_the_row_stays(
    client: Client, stranger: Client, workspace: Workspace
) -> None:
    old, newest = await push(client, workspace, 1), await push(client, workspace, 2)
    before = attributes(await client.get(f"/state-versions/{old}"))
    [output, *_] = (await client.get(f"/state-versions/{old}/outputs")).json()["data"]
    assert (await act(stranger, old, "soft_delete")).status_code == 404
    assert (await act(client, old, "restore")).status_code == 400
    assert (await act(client, old, "permanently_delete")).status_code == 400

    gone = await act(client, old, "soft_delete")
    assert (gone.status_code, attributes(gone)["status"]) == (200, "backing_data_soft_deleted")
    assert attributes(gone)["permissions"] == {"can-restore-backing-data": True}
    assert attributes(gone)["hosted-state-download-url"] is None
    for path in (f"/state-versions/{old}/outputs", f"/state-version-outputs/{output['id']}"):
        assert (await client.get(path)).status_code == 404
    assert (await client.get(f"/state-versions/{old}?include=outputs")).json()["included"] == []
    refused = await download(client, before["hosted-state-download-url"])
    assert refused.status_code == 404
    assert "An owner of the organization can restore it" in refused.text
    assert (await client.patch(f"/workspaces/{workspace.id}/state-versions", rollback_to(old))).status_code == 409
    assert (await act(client, old, "soft_delete")).status_code == 400

    assert attributes(await act(client, old, "restore"))["status"] == "finalized"
    assert (await download(client, before["hosted-state-download-url"])).content == state(1)
    assert (await client.get(f"/state-version-outputs/{output['id']}")).status_code == 200

    await act(client, old, "soft_delete")
    assert attributes(await act(client, old, "permanently_delete"))["status"] == "backing_data_permanently_deleted"
    assert "deleted for good" in (await download(client, before["hosted-state-download-url"])).text
    for action in ("restore", "soft_delete", "permanently_delete"):
        assert (await act(client, old, action)).status_code == 400
    kept = attributes(await client.get(f"/state-versions/{old}"))
    assert {key: kept[key] for key in ("serial", "md5", "size", "chain-hash")} == {
        key: before[key] for key in ("serial", "md5", "size", "chain-hash")
    }
    assert await StoredObject.filter(kind="state").count() == 1
    named = {"filter[workspace][name]": "net", "filter[organization][name]": "acme"}
    deleted = await client.get("/state-versions", params=named | {"filter[status]": "backing_data_permanently_deleted"})
    assert [one["id"] for one in deleted.json()["data"]] == [old]
    assert (await current(client, workspace))["id"] == newest


async def test_what_is_current_or_not_finalized_keeps_its_content(client: Client, workspace: Workspace) -> None:
    version = await push(client, workspace, 1)
    refused = await act(client, version, "soft_delete")
    assert refused.status_code == 400
    assert "current state cannot be soft-deleted" in error(refused)["detail"]
    waiting = (await client.post(f"/workspaces/{workspace.id}/state-versions", announced(state(2), 2))).json()["data"][
        "id"
    ]
    assert (await act(client, waiting, "soft_delete")).status_code == 400
    for action in ("soft_delete", "restore", "permanently_delete"):
        assert (await act(client, "sv-none", action)).status_code == 404


async def test_bytes_that_are_gone_from_the_store_are_told_of_and_asked_for_once(
    client: Client, workspace: Workspace
) -> None:
    """Not with a status after which clients ask again: nothing would come of it."""
    first = await push(client, workspace, 1)
    await push(client, workspace, 2)
    version = await StateVersion.get(id=first).select_related("content")
    assert version.content is not None
    await objects.delete_bytes(version.content)
    shown = attributes(await client.get(f"/state-versions/{first}"))
    for refused in (
        await download(client, shown["hosted-state-download-url"]),
        await client.patch(f"/workspaces/{workspace.id}/state-versions", rollback_to(first)),
    ):
        assert refused.status_code == 409
        assert "is not in the object store. Restore it from a backup." in error(refused)["detail"]
