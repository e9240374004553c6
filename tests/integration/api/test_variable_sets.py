from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from app import projects, variables, workspaces
from app.access.actors import SYSTEM
from app.organizations.models import Organization
from app.projects.models import Project
from app.runs import snapshot
from app.variables.models import SetVariable, VariableSet, VariableSetProject, VariableSetWorkspace
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error, pointer

SETS = "/organizations/acme/varsets"


@pytest.fixture
async def workspace(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "net")


@pytest.fixture
async def project(organization: Organization) -> Project:
    return await factories.make_project(organization, "platform")


def refs(type: str, *ids: str) -> dict[str, Any]:
    return {"data": [{"type": type, "id": id} for id in ids]}


def variable(key: Any = "region", value: Any = "eu", category: Any = "terraform", **more: Any) -> dict[str, Any]:
    return document("vars", {"key": key, "value": value, "category": category, **more})


async def make(client: Client, name: str, relationships: Any = None, **given: Any) -> str:
    response = await client.post(SETS, document("varsets", {"name": name, **given}, relationships))
    assert response.status_code == 201, response.text
    id: str = response.json()["data"]["id"]
    return id


async def put(client: Client, set_id: str, key: str, value: str, category: str = "terraform", **more: Any) -> str:
    response = await client.post(f"/varsets/{set_id}/relationships/vars", variable(key, value, category, **more))
    assert response.status_code == 201, response.text
    id: str = response.json()["data"]["id"]
    return id


def owned_by(project: Project) -> dict[str, Any]:
    return {"parent": {"data": {"type": "projects", "id": project.id}}}


def names(response: httpx2.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [one["attributes"]["name"] for one in response.json()["data"]]


def linked(response: httpx2.Response, relation: str) -> list[str]:
    return [one["id"] for one in response.json()["data"]["relationships"][relation]["data"]]


async def got(workspace: Workspace) -> dict[tuple[str, str], str]:
    fresh = await Workspace.get(id=workspace.id)
    return {(one.category, one.key): one.value.reveal() for one in await variables.effective(fresh)}


async def test_a_set_is_made_shown_changed_and_deleted(client: Client, workspace: Workspace, project: Project) -> None:
    relationships = {
        "workspaces": refs("workspaces", workspace.id),
        "projects": refs("projects", project.id),
        "vars": {"data": [{"type": "vars", "attributes": {"key": "a", "value": "1", "category": "env"}}]},
    }
    made = await make(client, "common", relationships, description="for all of us")
    shown = await client.get(f"/varsets/{made}", params={"include": "vars,workspaces,projects"})
    assert made.startswith("varset-")
    assert {
        key: attributes(shown)[key]
        for key in ("name", "description", "global", "priority", "var-count", "workspace-count", "project-count")
    } == {
        "name": "common",
        "description": "for all of us",
        "global": False,
        "priority": False,
        "var-count": 1,
        "workspace-count": 1,
        "project-count": 1,
    }
    assert attributes(shown)["permissions"] == {"can-update": True}
    related = shown.json()["data"]["relationships"]
    assert related["organization"]["data"] == related["parent"]["data"] == {"type": "organizations", "id": "acme"}
    assert {one["type"] for one in shown.json()["included"]} == {"vars", "workspaces", "projects"}

    changed = await client.patch(f"/varsets/{made}", document("varsets", {"description": None, "priority": True}))
    assert (attributes(changed)["description"], attributes(changed)["priority"]) == ("", True)
    assert attributes(changed)["updated-at"] > attributes(shown)["updated-at"]
    replaced = await client.request(
        "PUT", f"/varsets/{made}", document("varsets", {}, {"workspaces": refs("workspaces")})
    )
    assert (linked(replaced, "workspaces"), linked(replaced, "projects")) == ([], [project.id])
    assert (await client.delete(f"/varsets/{made}")).status_code == 204
    assert (await client.get(f"/varsets/{made}")).status_code == 404
    for model in (SetVariable, VariableSetWorkspace, VariableSetProject):
        assert await model.all().count() == 0


async def test_its_variables_are_made_shown_changed_and_deleted(client: Client) -> None:
    made = await make(client, "common")
    path = f"/varsets/{made}/relationships/vars"
    id = await put(client, made, "region", '"eu"', description="where", hcl=True)
    shown = await client.get(f"{path}/{id}")
    assert attributes(shown) | {"key": "region", "value": '"eu"', "hcl": True} == attributes(shown)
    related = shown.json()["data"]["relationships"]
    assert related["varset"]["data"] == related["configurable"]["data"] == {"type": "varsets", "id": made}
    assert attributes(await client.patch(f"{path}/{id}", document("vars", {"value": "1"})))["value"] == "1"
    assert error(await client.post(path, variable("region")))["detail"] == "Key has already been taken."
    assert pointer(await client.post(path, variable("zones", "", hcl=True))) == "/data/attributes/value"
    await put(client, made, "region", "x", category="env")
    listed = await client.get(path)
    assert [one["attributes"]["category"] for one in listed.json()["data"]] == ["env", "terraform"]
    assert listed.json()["meta"]["pagination"]["total-count"] == 2
    second = await client.get(path, params={"page[number]": "2", "page[size]": "1"})
    assert [one["id"] for one in second.json()["data"]] == [id]
    assert (await client.delete(f"{path}/{id}")).status_code == 204
    assert (await client.get(f"{path}/{id}")).status_code == 404


async def test_a_sensitive_value_of_a_set_never_comes_out(client: Client, workspace: Workspace) -> None:
    secret = "hunter2-very-secret"
    made = await make(client, "secrets", {"workspaces": refs("workspaces", workspace.id)})
    id = await put(client, made, "password", secret, sensitive=True)
    one = f"/varsets/{made}/relationships/vars/{id}"
    for response in (
        await client.get(one),
        await client.get(f"/varsets/{made}/relationships/vars"),
        await client.get(f"/varsets/{made}", params={"include": "vars"}),
        await client.get(SETS, params={"include": "vars"}),
        await client.get(f"/workspaces/{workspace.id}/varsets", params={"include": "vars"}),
        await client.get(f"/workspaces/{workspace.id}/all-vars"),
        await client.get(f"/workspaces/{workspace.id}/varsets/{made}/relationships/vars"),
        await client.get(f"/workspaces/{workspace.id}/varsets/{made}/relationships/vars/{id}"),
        await client.patch(one, document("vars", {"value": secret})),
    ):
        assert response.status_code == 200
        assert secret not in response.text
    assert pointer(await client.patch(one, document("vars", {"sensitive": False}))) == "/data/attributes/sensitive"
    assert pointer(await client.patch(one, document("vars", {"key": "x"}))) == "/data/attributes/key"
    assert await got(workspace) == {("terraform", "password"): secret}
    assert secret not in str(await SetVariable.all().values())


async def test_a_name_is_there_once_in_what_it_belongs_to(client: Client, project: Project) -> None:
    await make(client, "common")
    taken = await client.post(SETS, document("varsets", {"name": "common"}))
    assert (pointer(taken), error(taken)["detail"]) == ("/data/attributes/name", "Name has already been taken.")
    await make(client, "common", owned_by(project))
    assert pointer(await client.post(SETS, document("varsets", {"name": "common"}, owned_by(project)))).endswith("name")
    other = await make(client, "other")
    assert pointer(await client.patch(f"/varsets/{other}", document("varsets", {"name": "common"}))).endswith("name")
    made = [client.post(SETS, document("varsets", {"name": "at once"})) for _ in range(4)]
    assert sorted(one.status_code for one in await asyncio.gather(*made)) == [201, 422, 422, 422]


WRONG: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", " "),
    ("name", "a\nb"),
    ("name", "x" * 91),
    ("name", None),
    ("name", 5),
    ("description", "x" * 513),
    ("global", "yes"),
    ("priority", 1),
]


async def test_what_is_wrong_is_422_by_name(client: Client, project: Project) -> None:
    for attribute, value in WRONG:
        response = await client.post(SETS, document("varsets", {"name": "fine", attribute: value}))
        assert pointer(response) == f"/data/attributes/{attribute}", (attribute, value)
    assert pointer(await client.post(SETS, document("varsets", {}))) == "/data/attributes/name"
    bad = {"vars": {"data": [{"type": "vars", "attributes": {"key": "a b", "category": "terraform"}}]}}
    assert pointer(await client.post(SETS, document("varsets", {"name": "fine"}, bad))) == "/data/attributes/key"
    owned = document("varsets", {"name": "fine", "global": True}, owned_by(project))
    assert pointer(await client.post(SETS, owned)) == "/data/attributes/global"
    nowhere = {"parent": {"data": {"type": "projects", "id": "prj-none"}}}
    elsewhere = {"parent": {"data": {"type": "organizations", "id": "evil"}}}
    for parent in (nowhere, elsewhere):
        response = await client.post(SETS, document("varsets", {"name": "fine"}, parent))
        assert pointer(response) == "/data/relationships/parent"
    stacks = {"stacks": refs("stacks", "st-1")}
    assert (await client.post(SETS, document("varsets", {"name": "fine"}, stacks))).status_code == 422
    assert await VariableSet.all().count() == 0


async def test_who_it_belongs_to_does_not_change(client: Client, project: Project) -> None:
    made = await make(client, "common")
    moved = await client.patch(f"/varsets/{made}", document("varsets", {}, owned_by(project)))
    assert pointer(moved) == "/data/relationships/parent"
    same = {"parent": {"data": {"type": "organizations", "id": "acme"}}}
    assert (await client.patch(f"/varsets/{made}", document("varsets", {}, same))).status_code == 200


async def test_it_is_applied_to_workspaces_and_projects_and_taken_from_them(
    client: Client, workspace: Workspace, project: Project
) -> None:
    made = await make(client, "common")
    await put(client, made, "region", "eu")
    assert await got(workspace) == {}
    path = f"/varsets/{made}/relationships"
    for _ in range(2):  # once more is no error
        assert (await client.post(f"{path}/workspaces", refs("workspaces", workspace.id))).status_code == 204
    assert await got(workspace) == {("terraform", "region"): "eu"}
    for _ in range(2):
        assert (await client.delete(f"{path}/workspaces", refs("workspaces", workspace.id))).status_code == 204
    assert await got(workspace) == {}
    assert (await client.post(f"{path}/projects", refs("projects", project.id))).status_code == 204
    assert await got(workspace) == {}
    await workspaces.update(SYSTEM, workspace, project=project)
    assert await got(workspace) == {("terraform", "region"): "eu"}
    assert (await client.delete(f"{path}/projects", refs("projects", project.id))).status_code == 204
    assert await got(workspace) == {}
    assert (await client.post(f"{path}/stacks", refs("stacks", "st-1"))).status_code == 422
    assert (await client.post(f"{path}/workspaces", refs("projects", project.id))).status_code == 422
    assert (await client.post(f"{path}/workspaces", {"data": "nonsense"})).status_code == 422


async def test_it_is_applied_within_its_organization_only(client: Client) -> None:
    foreign = await factories.make_organization("evil")
    their_workspace = await factories.make_workspace(foreign)
    their_project = await factories.make_project(foreign)
    made = await make(client, "common")
    for kind, id in (("workspaces", their_workspace.id), ("projects", their_project.id), ("workspaces", "ws-none")):
        response = await client.post(f"/varsets/{made}/relationships/{kind}", refs(kind, id))
        assert "in this organization" in error(response)["detail"]
        response = await client.patch(f"/varsets/{made}", document("varsets", {}, {kind: refs(kind, id)}))
        assert response.status_code == 422


async def test_a_projects_set_stays_within_its_project(
    client: Client, workspace: Workspace, project: Project, organization: Organization
) -> None:
    inside = await factories.make_workspace(organization, "inside", project=project)
    made = await make(client, "theirs", owned_by(project))
    await put(client, made, "region", "eu")
    shown = await client.get(f"/varsets/{made}")
    assert shown.json()["data"]["relationships"]["parent"]["data"] == {"type": "projects", "id": project.id}
    path = f"/varsets/{made}/relationships"
    assert (await client.post(f"{path}/workspaces", refs("workspaces", workspace.id))).status_code == 422
    other = await projects.default_of(organization)
    assert (await client.post(f"{path}/projects", refs("projects", other.id))).status_code == 422
    assert (await client.post(f"{path}/workspaces", refs("workspaces", inside.id))).status_code == 204
    assert await got(inside) == {("terraform", "region"): "eu"}
    await workspaces.update(SYSTEM, inside, project=other)
    assert await got(inside) == {}
    assert attributes(await client.get(f"/varsets/{made}"))["workspace-count"] == 0
    assert (await client.delete(f"/projects/{project.id}")).status_code == 204
    assert (await client.get(f"/varsets/{made}")).status_code == 404


async def test_a_global_set_reaches_every_workspace_and_is_applied_to_none(
    client: Client, workspace: Workspace, organization: Organization
) -> None:
    made = await make(client, "everywhere", **{"global": True})
    await put(client, made, "region", "eu")
    later = await factories.make_workspace(organization, "later")
    assert await got(workspace) == await got(later) == {("terraform", "region"): "eu"}
    response = await client.post(f"/varsets/{made}/relationships/workspaces", refs("workspaces", workspace.id))
    assert "is global" in error(response)["detail"]
    elsewhere = await factories.make_workspace(await factories.make_organization())
    assert await got(elsewhere) == {}


async def test_two_global_sets_of_one_strength_never_have_one_key(client: Client, workspace: Workspace) -> None:
    first = await make(client, "first", **{"global": True})
    await put(client, first, "region", "eu")
    second = await make(client, "second", **{"global": True})
    path = f"/varsets/{second}/relationships/vars"
    clash = await client.post(path, variable("region"))
    assert "first has a variable region too" in error(clash)["detail"]
    await put(client, second, "region", "of the environment", category="env")
    renamed = await put(client, second, "other", "x")
    assert (await client.patch(f"{path}/{renamed}", document("vars", {"key": "region"}))).status_code == 422
    third = await make(client, "third")
    await put(client, third, "region", "third")
    assert (await client.patch(f"/varsets/{third}", document("varsets", {"global": True}))).status_code == 422
    stronger = document("varsets", {"global": True, "priority": True})
    assert (await client.patch(f"/varsets/{third}", stronger)).status_code == 200
    assert (await got(workspace))["terraform", "region"] == "third"
    assert (await client.patch(f"/varsets/{third}", document("varsets", {"priority": False}))).status_code == 422


async def test_lists_have_what_they_say(
    client: Client, workspace: Workspace, project: Project, organization: Organization
) -> None:
    inside = await factories.make_workspace(organization, "inside", project=project)
    await make(client, "global", **{"global": True})
    await make(client, "on net", {"workspaces": refs("workspaces", workspace.id)})
    await make(client, "on platform", {"projects": refs("projects", project.id)})
    await make(client, "owned", owned_by(project))
    await make(client, "unused")
    everything = ["global", "on net", "on platform", "owned", "unused"]
    assert names(await client.get(SETS)) == everything
    assert names(await client.get(SETS, params={"q": "ON"})) == ["on net", "on platform"]
    assert names(await client.get(SETS, params={"filter[global]": "true"})) == ["global"]
    assert names(await client.get(SETS, params={"scope": "owned"})) == [one for one in everything if one != "owned"]
    assert names(await client.get(SETS, params={"page[number]": "2", "page[size]": "2"})) == ["on platform", "owned"]
    of_project = f"/projects/{project.id}/varsets"
    assert names(await client.get(of_project)) == ["global", "on platform", "owned"]
    for scope, expected in {
        "applied": ["global", "on platform"],
        "shared": ["global", "on platform"],
        "owned": ["owned"],
        "all": ["global", "on platform", "owned"],
    }.items():
        assert names(await client.get(of_project, params={"scope": scope})) == expected
    assert names(await client.get(f"/workspaces/{workspace.id}/varsets")) == ["global", "on net"]
    assert names(await client.get(f"/workspaces/{inside.id}/varsets")) == ["global", "on platform"]
    assert names(await client.get(f"/workspaces/{workspace.id}/applicable-varsets")) == ["on platform", "unused"]
    assert names(await client.get(f"/workspaces/{inside.id}/applicable-varsets")) == ["on net", "owned", "unused"]


async def test_all_vars_are_the_winners_and_say_what_they_beat(client: Client, workspace: Workspace) -> None:
    own = await factories.make_variable(workspace, "region", "own")
    weak = await make(client, "weak", {"workspaces": refs("workspaces", workspace.id)})
    strong = await make(client, "strong", {"workspaces": refs("workspaces", workspace.id)}, priority=True)
    lost = await put(client, weak, "region", "weak")
    await put(client, weak, "other", "kept")
    winning = await put(client, strong, "region", "strong")
    listed = (await client.get(f"/workspaces/{workspace.id}/all-vars")).json()["data"]
    assert [(one["attributes"]["key"], one["attributes"]["value"]) for one in listed] == [
        ("other", "kept"),
        ("region", "strong"),
    ]
    related = listed[1]["relationships"]
    assert related["varset"]["data"]["id"] == strong
    assert [one["id"] for one in related["overwritten"]["data"]] == [own.id, lost]
    [mine] = (await client.get(f"/workspaces/{workspace.id}/vars")).json()["data"]
    assert mine["relationships"]["overwriter"]["data"]["id"] == winning
    inherited = f"/workspaces/{workspace.id}/varsets/{weak}/relationships/vars"
    listed = (await client.get(inherited)).json()["data"]
    assert {one["attributes"]["key"]: one["relationships"]["overwriter"]["data"] for one in listed} == {
        "other": None,
        "region": {"type": "vars", "id": winning},
    }
    assert attributes(await client.get(f"{inherited}/{lost}"))["value"] == "weak"
    assert (await client.get(f"{inherited}/{winning}")).status_code == 404


async def test_a_run_keeps_what_it_was_created_with(client: Client, workspace: Workspace) -> None:
    made = await make(client, "common", {"workspaces": refs("workspaces", workspace.id)})
    id = await put(client, made, "region", "before")
    run = await factories.make_run(workspace)
    changed = await client.patch(f"/varsets/{made}/relationships/vars/{id}", document("vars", {"value": "after"}))
    assert changed.status_code == 200
    later = await factories.make_run(workspace)
    assert (await client.delete(f"/varsets/{made}")).status_code == 204
    kept = [(await snapshot.read(one))[0] for one in (run, later)]
    assert [one.value.reveal() for one in kept] == ["before", "after"]
    assert {one.source for one in kept} == {"set common"}
    shown = attributes(await client.get(f"/runs/{run.id}"))
    assert shown["variables"] == []


async def test_what_is_no_name_of_a_variable_is_refused_as_a_runs_too(client: Client, workspace: Workspace) -> None:
    await factories.make_configuration_version(workspace)
    related = {"workspace": {"data": {"type": "workspaces", "id": workspace.id}}}

    def asking(*given: dict[str, str]) -> dict[str, Any]:
        return document("runs", {"variables": list(given)}, related)

    for key in ("-destroy", "", "a b", "a=1", "x" * 129, "a\nb"):
        response = await client.post("/runs", asking({"key": key, "value": "1"}))
        assert pointer(response) == "/data/attributes/variables", key
    computed = await client.post("/runs", asking({"key": "a", "value": 'file("/etc/passwd")'}))
    assert pointer(computed) == "/data/attributes/variables"
    longest = await client.post("/runs", asking({"key": "a", "value": '"' + "x" * 256 * 1024 + '"'}))
    assert pointer(longest) == "/data/attributes/variables"
    twice = await client.post("/runs", asking({"key": "a", "value": "1"}, {"key": "a", "value": "2"}))
    assert attributes(twice)["variables"] == [{"key": "a", "value": "2"}]


async def test_who_does_not_belong_to_the_organization_sees_none_of_it(
    client: Client, stranger: Client, workspace: Workspace, project: Project
) -> None:
    made = await make(client, "common")
    id = await put(client, made, "region", "eu")
    own = await stranger.post("/organizations/evil/varsets", document("varsets", {"name": "mine"}))
    assert own.status_code == 201
    for method, path in (
        ("GET", SETS),
        ("POST", SETS),
        ("GET", f"/varsets/{made}"),
        ("PATCH", f"/varsets/{made}"),
        ("DELETE", f"/varsets/{made}"),
        ("GET", f"/varsets/{made}/relationships/vars"),
        ("POST", f"/varsets/{made}/relationships/vars"),
        ("GET", f"/varsets/{made}/relationships/vars/{id}"),
        ("PATCH", f"/varsets/{made}/relationships/vars/{id}"),
        ("DELETE", f"/varsets/{made}/relationships/vars/{id}"),
        ("POST", f"/varsets/{made}/relationships/workspaces"),
        ("DELETE", f"/varsets/{made}/relationships/projects"),
        ("GET", f"/projects/{project.id}/varsets"),
        ("GET", f"/workspaces/{workspace.id}/varsets"),
        ("GET", f"/workspaces/{workspace.id}/applicable-varsets"),
    ):
        response = await stranger.request(method, path, {"data": "nonsense"} if method != "GET" else None)
        assert response.status_code == 404, (method, path)
    theirs = own.json()["data"]["id"]
    taken = await stranger.post(f"/varsets/{theirs}/relationships/workspaces", refs("workspaces", workspace.id))
    assert taken.status_code == 422
