from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from app import clock, variables
from app.access.models import User
from app.organizations.models import Organization
from app.settings import Settings
from app.variables import values
from app.variables.models import Variable
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error, pointer


@pytest.fixture
async def workspace(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "net")


@pytest.fixture
def path(workspace: Workspace) -> str:
    return f"/workspaces/{workspace.id}/vars"


def variable(key: Any = "region", value: Any = "eu", category: Any = "terraform", **more: Any) -> dict[str, Any]:
    return document("vars", {"key": key, "value": value, "category": category, **more})


async def test_a_variable_is_made_shown_changed_and_deleted(client: Client, path: str) -> None:
    made = await client.post(path, variable(value='"eu"', description="where", hcl=True))
    assert made.status_code == 201
    one = f"{path}/{made.json()['data']['id']}"
    shown = attributes(await client.get(one))
    assert shown["key"] == "region"
    assert (shown["value"], shown["hcl"], shown["sensitive"], shown["description"]) == ('"eu"', True, False, "where")
    changed = attributes(await client.patch(one, document("vars", {"value": "us", "hcl": False})))
    assert (changed["value"], changed["hcl"], changed["description"]) == ("us", False, "where")
    assert changed["version-id"] != shown["version-id"]
    assert (await client.delete(one)).status_code == 204
    assert (await client.get(one)).status_code == 404


async def test_all_of_them_come_in_one_page_under_either_name(client: Client, path: str, workspace: Workspace) -> None:
    for number in range(105):
        await factories.make_variable(workspace, f"v{number:03}")
    for where in (path, f"/workspaces/{workspace.id}/all-vars"):
        data = (await client.get(where)).json()["data"]
        assert [one["attributes"]["key"] for one in data] == [f"v{number:03}" for number in range(105)]
        assert data[0]["type"] == "vars"


async def test_a_sensitive_value_goes_in_and_never_comes_out(client: Client, path: str, workspace: Workspace) -> None:
    secret = "hunter2-very-secret"
    made = await client.post(path, variable("password", secret, sensitive=True))
    one = f"{path}/{made.json()['data']['id']}"
    for response in (
        made,
        await client.get(one),
        await client.get(path),
        await client.patch(one, document("vars", {"value": secret + "2"})),
        await client.get(f"/workspaces/{workspace.id}", params={"include": "vars"}),
    ):
        assert response.status_code in (200, 201)
        assert secret not in response.text
    [value] = await variables.effective(workspace)
    assert value.value.reveal() == secret + "2"
    assert secret not in str(await Variable.all().values())


async def test_of_a_sensitive_one_only_the_value_changes(client: Client, path: str) -> None:
    made = await client.post(path, variable("password", "x", sensitive=True))
    one = f"{path}/{made.json()['data']['id']}"
    for change in ({"sensitive": False}, {"key": "other"}, {"hcl": True}, {"category": "env"}, {"description": "x"}):
        response = await client.patch(one, document("vars", {"value": "stolen", **change}))
        assert pointer(response) == f"/data/attributes/{next(iter(change))}"
    unchanged = {"key": "password", "sensitive": True, "category": "terraform", "value": "y"}
    assert (await client.patch(one, document("vars", unchanged))).status_code == 200


async def test_a_plain_one_becomes_sensitive_and_stays_so(client: Client, path: str) -> None:
    made = await client.post(path, variable("password", "was-plain"))
    one = f"{path}/{made.json()['data']['id']}"
    assert attributes(await client.patch(one, document("vars", {"sensitive": True})))["value"] is None


async def test_a_key_is_there_once_in_each_category(client: Client, path: str) -> None:
    assert (await client.post(path, variable("A"))).status_code == 201
    assert error(await client.post(path, variable("A")))["detail"] == "Key has already been taken."
    other = await client.post(path, variable("A", category="env"))
    assert other.status_code == 201
    moved = await client.patch(f"{path}/{other.json()['data']['id']}", document("vars", {"category": "terraform"}))
    assert pointer(moved) == "/data/attributes/key"


WRONG: list[tuple[str, Any]] = [
    ("key", ""),
    ("key", None),
    ("key", 5),
    ("key", "a b"),
    ("key", "1a"),
    ("key", "x" * 129),
    ("key", "a/b"),
    ("value", 5),
    ("value", {"a": 1}),
    ("value", "x" * (256 * 1024 + 1)),
    ("category", "policy-set"),
    ("category", None),
    ("category", 5),
    ("description", "x" * 513),
    ("hcl", "yes"),
    ("sensitive", 1),
]


async def test_what_is_wrong_is_422_by_name(client: Client, path: str) -> None:
    for attribute, value in WRONG:
        response = await client.post(path, variable(**{attribute: value}))
        assert pointer(response) == f"/data/attributes/{attribute}", (attribute, str(value)[:20])
    for nothing in ("", None, " ", "\n", "# c"):
        assert pointer(await client.post(path, variable(value=nothing, hcl=True))) == "/data/attributes/value", nothing
    unsaid = document("vars", {"key": "region", "category": "terraform", "hcl": True})
    assert "is empty" in error(await client.post(path, unsaid))["detail"]
    smuggler = variable(value="1\nregion = 2", hcl=True)
    assert pointer(await client.post(path, smuggler)) == "/data/attributes/value"
    for computed in ('file("/etc/passwd")', "hello", '"${var.other}"'):
        refused = await client.post(path, variable(value=computed, hcl=True))
        assert pointer(refused) == "/data/attributes/value"
        assert "only literal values" in error(refused)["detail"]
    plain = await client.post(path, variable("word", "hello"))
    turned = await client.patch(f"{path}/{plain.json()['data']['id']}", document("vars", {"hcl": True}))
    assert "only literal values" in error(turned)["detail"]
    await client.delete(f"{path}/{plain.json()['data']['id']}")
    for key in ("a=b", "a b", "", "-destroy", "--help", "-var-file=x"):
        assert pointer(await client.post(path, variable(key, category="env"))) == "/data/attributes/key"
    assert pointer(await client.post(path, document("vars", {"category": "env"}))) == "/data/attributes/key"
    assert await Variable.all().count() == 0


async def test_the_longest_value_there_may_be_is_taken(client: Client, path: str, opened: Settings) -> None:
    value = "ä" * (opened.max_variable // 2)
    made = await client.post(path, variable(value=value))
    assert attributes(made)["value"] == value


async def test_a_run_whose_environment_no_program_could_be_started_with_is_refused(
    client: Client, path: str, workspace: Workspace
) -> None:
    await factories.make_configuration_version(workspace)
    sent = document("runs", {}, {"workspace": {"data": {"type": "workspaces", "id": workspace.id}}})
    piece = "x" * (128 * 1024 - len("LONG10=") - 1)
    for number in range(10, 21):
        await factories.make_variable(workspace, f"LONG{number}", piece, category="env")
    assert (await client.post("/runs", sent)).status_code == 201
    await factories.make_variable(workspace, "LONG21", piece, category="env")
    refused = await client.post("/runs", sent)
    assert pointer(refused) == "/data/relationships/workspace"
    assert "starts no program with many more than 1536 KiB" in error(refused)["detail"]
    await factories.make_variable(workspace, "long", piece)  # a file has no such limit
    assert (await client.delete(f"{path}/{(await Variable.get(key='LONG21')).id}")).status_code == 204
    assert (await client.post("/runs", sent)).status_code == 201


def test_linux_starts_a_program_with_the_longest_environment_there_may_be() -> None:
    piece = "x" * (values.MOST_OF_ENVIRONMENT - len("LONG10=") - 1)
    whole = {f"LONG{number}": piece for number in range(10, 10 + values.MOST_OF_ALL_ENVIRONMENT // len(piece))}
    assert subprocess.run(["/bin/true"], env=whole, check=True).returncode == 0


async def test_what_no_environment_can_carry_is_refused_there_and_taken_for_terraform(
    client: Client, path: str
) -> None:
    most = "x" * (128 * 1024 - len("LONG=") - 1)
    assert attributes(await client.post(path, variable("LONG", most, category="env")))["value"] == most
    assert pointer(await client.post(path, variable("LONG2", most, category="env"))) == "/data/attributes/value"
    made = await client.post(path, variable("long", "x" * 200_000))
    one = f"{path}/{made.json()['data']['id']}"
    moved = await client.patch(one, document("vars", {"category": "env"}))
    assert "Linux starts no program" in error(moved)["detail"]
    assert attributes(await client.get(one))["category"] == "terraform"
    for key in ("-destroy", "--help", "-var-file=x"):
        assert pointer(await client.post(path, variable(key))) == "/data/attributes/key"


async def test_a_value_may_be_left_out_and_emptied(client: Client, path: str) -> None:
    made = await client.post(path, document("vars", {"key": "a", "category": "env"}))
    assert attributes(made)["value"] == ""
    one = f"{path}/{made.json()['data']['id']}"
    assert attributes(await client.patch(one, document("vars", {"value": "x"})))["value"] == "x"
    assert attributes(await client.patch(one, document("vars", {"value": None})))["value"] == ""


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_expression_is_emptied_only_where_it_is_secret_and_still_to_come(client: Client, path: str) -> None:
    plain = await client.post(path, variable("plain", "[1]", hcl=True))
    for change in ({"value": ""}, {"value": None}):
        response = await client.patch(f"{path}/{plain.json()['data']['id']}", document("vars", change))
        assert pointer(response) == "/data/attributes/value"
    empty = await client.post(path, variable("empty", ""))
    turned = await client.patch(f"{path}/{empty.json()['data']['id']}", document("vars", {"hcl": True}))
    assert "is empty" in error(turned)["detail"]
    secret = {"category": "terraform", "hcl": True, "sensitive": True}
    for key, given in (("unsaid", {}), ("nothing", {"value": ""})):  # as a person does, as the tfe provider does
        made = await client.post(path, document("vars", {"key": key, **secret, **given}))
        assert made.status_code == 201, made.text
        one = f"{path}/{made.json()['data']['id']}"
        assert pointer(await client.patch(one, document("vars", {"value": "a b"}))) == "/data/attributes/value"
        assert (await client.patch(one, document("vars", {"value": '"known"'}))).status_code == 200


async def test_several_change_together_or_not_at_all(client: Client, path: str, workspace: Workspace) -> None:
    one, two = await factories.make_variable(workspace, "a"), await factories.make_variable(workspace, "b")
    batch = f"/workspaces/{workspace.id}/relationships/vars"

    def changes(*pairs: tuple[str, str]) -> dict[str, Any]:
        return {"data": [{"type": "vars", "id": id, "attributes": {"value": value}} for id, value in pairs]}

    assert (await client.patch(batch, changes((one.id, "1"), ("var-none", "2")))).status_code == 404
    assert {value.value.reveal() for value in await variables.effective(workspace)} == {"eu"}
    assert (await client.patch(batch, changes((one.id, "1"), (two.id, "2")))).status_code == 204
    assert {value.value.reveal() for value in await variables.effective(workspace)} == {"1", "2"}
    nameless = {"data": [{"type": "vars", "attributes": {}}]}
    assert pointer(await client.patch(batch, nameless)) == "/data/0/id"


async def test_a_variable_is_found_in_its_own_workspace_only(
    client: Client, path: str, organization: Organization
) -> None:
    other = await factories.make_variable(await factories.make_workspace(organization, "other"))
    assert (await client.get(f"{path}/{other.id}")).status_code == 404
    assert (await client.delete(f"{path}/{other.id}")).status_code == 404
    assert (await client.get(f"{path}/{'x' * 300}")).status_code == 404


async def test_old_clients_name_the_workspace_in_the_body_and_in_filters(
    client: Client, path: str, workspace: Workspace
) -> None:
    where = {"workspace": {"data": {"type": "workspaces", "id": workspace.id}}}
    body = variable("password", "hunter2-very-secret", sensitive=True)
    made = await client.post("/vars", {"data": body["data"] | {"relationships": where}})
    assert made.status_code == 201, made.text
    assert "hunter2" not in made.text
    one = made.json()["data"]["id"]
    again = await client.post("/vars", {"data": body["data"] | {"relationships": where}})
    assert error(again)["detail"] == "Key has already been taken."
    named = {"filter[organization][name]": "acme", "filter[workspace][name]": "net"}
    assert (await client.get("/vars", params=named)).json()["data"] == (await client.get(path)).json()["data"]
    changed = await client.patch(f"/vars/{one}", document("vars", {"value": "other"}, id=one))
    assert (changed.status_code, attributes(changed)["value"]) == (200, None)
    assert (await client.delete(f"/vars/{one}")).status_code == 204
    assert await Variable.all().count() == 0
    for gone in (await client.patch(f"/vars/{one}", body), await client.delete(f"/vars/{one}")):
        assert gone.status_code == 404


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_an_old_client_that_does_not_say_where_is_refused_by_name(client: Client, workspace: Workspace) -> None:
    nowhere = await client.post("/vars", variable())
    assert pointer(nowhere) == "/data/relationships/workspace"
    for where, status in (({"data": None}, 422), ({"data": {"type": "workspaces", "id": "ws-none"}}, 404)):
        sent = {"data": variable()["data"] | {"relationships": {"workspace": where}}}
        assert (await client.post("/vars", sent)).status_code == status
    halves = {"filter[organization][name]": "acme", "filter[workspace][name]": "net"}
    for given, missing in (tuple(halves), tuple(halves)[::-1]):
        refused = await client.get("/vars", params={given: halves[given]})
        assert (refused.status_code, error(refused)["source"]) == (422, {"parameter": missing})
    assert await Variable.all().count() == 0


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_without_a_filter_those_of_all_workspaces_come_in_pages_and_nobody_elses(
    client: Client, owner: User, organization: Organization, workspace: Workspace
) -> None:
    await factories.make_variable(workspace, "a")
    await factories.make_variable(await factories.make_workspace(organization, "other"), "b")
    stranger = await factories.make_organization("foreign", owner=await factories.make_user("stranger"))
    foreign = await factories.make_variable(await factories.make_workspace(stranger, "net"), "c")
    gone = await factories.make_workspace(organization, "gone")
    await factories.make_variable(gone, "d")
    await Workspace.filter(id=gone.id).update(deleted_at=clock.now())
    listed = await client.get("/vars")
    assert {one["attributes"]["key"] for one in listed.json()["data"]} == {"a", "b"}
    paged = await client.get("/vars", params={"page[size]": "1", "page[number]": "2"})
    assert [one["id"] for one in paged.json()["data"]] == [listed.json()["data"][1]["id"]]
    assert paged.json()["meta"]["pagination"]["total-count"] == 2
    assert (await client.patch(f"/vars/{foreign.id}", document("vars", {"value": "x"}))).status_code == 404
    assert (await client.delete(f"/vars/{foreign.id}")).status_code == 404
    assert await Variable.exists(id=foreign.id)


async def test_a_sealed_value_opens_in_its_own_row_only(workspace: Workspace) -> None:
    one, two = await factories.make_variable(workspace, "a", "1"), await factories.make_variable(workspace, "b", "2")
    await Variable.filter(id=two.id).update(sealed_value=one.sealed_value)
    with pytest.raises(Exception, match="damaged or was moved"):
        await variables.effective(workspace)


async def test_unicode_comes_back_as_it_went_in(client: Client, path: str) -> None:
    value = 'ü\u2028"\\\n🦆'
    assert json.loads((await client.post(path, variable(value=value))).text)["data"]["attributes"]["value"] == value
