from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from app.access.models import User
from app.jobs import workers
from app.organizations.models import Organization
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error, pointer

PATH = "/organizations/acme/workspaces"
BAD_NAMES: list[Any] = ["", "a b", "a/b", "ä", "x" * 91, "x" * 300, "a.b", "..", None, 7, ["a"], {"a": 1}, True]


def named(name: Any = "net", **more: Any) -> dict[str, Any]:
    return document("workspaces", {"name": name, **more})


async def test_terraform_makes_a_workspace_and_names_its_version_afterwards(client: Client) -> None:
    made = await client.post(PATH, named(), headers={"terraform-version": "1.11.4"})
    assert made.status_code == 201
    assert attributes(made)["terraform-version"] == "1.11.4"
    assert attributes(made)["source"] == "terraform"
    id = made.json()["data"]["id"]
    changed = await client.patch(f"/workspaces/{id}", document("workspaces", {"terraform-version": "1.10.5"}))
    assert changed.status_code == 200
    assert attributes(changed)["terraform-version"] == "1.10.5"


async def test_both_paths_show_the_same(client: Client, organization: Organization) -> None:
    workspace = await factories.make_workspace(organization, "net")
    by_id, by_name = await client.get(f"/workspaces/{workspace.id}"), await client.get(f"{PATH}/net")
    assert by_id.status_code == 200
    assert by_id.json() == by_name.json()


async def test_t01_the_permissions_are_always_there(client: Client) -> None:
    permissions = attributes(await client.post(PATH, named()))["permissions"]
    assert permissions["can-queue-run"] is True
    assert permissions["can-update"] is True
    assert permissions["can-queue-apply"] is True
    assert "can-force-delete" in permissions


async def test_t04_every_time_ends_in_z(client: Client) -> None:
    found = attributes(await client.post(PATH, named()))
    for name in ("created-at", "updated-at", "latest-change-at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found[name])


async def test_t07_an_include_nobody_knows_is_passed_over(client: Client, organization: Organization) -> None:
    await factories.make_workspace(organization, "net")
    response = await client.get(
        f"{PATH}/net", params={"include": "organization,nonsense,project.nothing,,a.b.c.d.e.f.g"}
    )
    assert response.status_code == 200
    assert {one["type"] for one in response.json()["included"]} == {"organizations", "projects"}


async def test_t16_without_a_repository_it_says_null(client: Client) -> None:
    assert attributes(await client.post(PATH, named()))["vcs-repo"] is None


async def test_t28_old_clients_learn_whether_runs_are_remote(client: Client) -> None:
    made = attributes(await client.post(PATH, named("remote")))
    assert (made["operations"], made["execution-mode"]) == (True, "remote")
    made = attributes(await client.post(PATH, named("local", **{"execution-mode": "local"})))
    assert (made["operations"], made["execution-mode"]) == (False, "local")
    made = attributes(await client.post(PATH, named("old", operations=False)))
    assert (made["operations"], made["execution-mode"]) == (False, "local")


async def test_operations_and_execution_mode_may_not_contradict(client: Client) -> None:
    sent = named(operations=True, **{"execution-mode": "local"})
    assert pointer(await client.post(PATH, sent)) == "/data/attributes/operations"


async def test_relations_name_what_terraform_reads(client: Client) -> None:
    relations = (await client.post(PATH, named())).json()["data"]["relationships"]
    assert relations["organization"]["data"] == {"type": "organizations", "id": "acme"}
    assert relations["project"]["data"]["type"] == "projects"
    for name in ("current-run", "latest-run", "locked-by", "current-state-version", "current-configuration-version"):
        assert relations[name]["data"] is None


async def test_a_bad_name_is_422_at_the_name(client: Client, organization: Organization) -> None:
    await factories.make_workspace(organization, "net")
    for name in BAD_NAMES:
        assert pointer(await client.post(PATH, named(name))) == "/data/attributes/name", name
        response = await client.patch(f"{PATH}/net", document("workspaces", {"name": name}))
        assert pointer(response) == "/data/attributes/name", name
    assert await Workspace.filter(organization_id=organization.id).count() == 1


WRONG_SETTINGS: list[tuple[str, Any]] = [
    ("auto-apply", "yes"),
    ("auto-apply", None),
    ("execution-mode", "agent"),
    ("execution-mode", "nowhere"),
    ("execution-mode", 1),
    ("terraform-version", "x"),
    ("terraform-version", ""),
    ("terraform-version", 1.11),
    ("terraform-version", "1" * 400),
    ("working-directory", "../up"),
    ("working-directory", "a/../../b"),
    ("working-directory", ["a"]),
    ("engine", "pulumi"),
    ("description", "x" * 10_001),
    ("trigger-prefixes", "a"),
    ("trigger-prefixes", [1]),
    ("trigger-prefixes", [None]),
    ("source-name", "x" * 256),
    ("agent-pool-id", "apool-1"),
    ("assessments-enabled", True),
    ("auto-destroy-at", "2030-01-01T00:00:00Z"),
    ("global-remote-state", "true"),
]


async def test_a_wrong_setting_is_422_by_name(client: Client, organization: Organization) -> None:
    await factories.make_workspace(organization, "net")
    for attribute, value in WRONG_SETTINGS:
        made = pointer(await client.post(PATH, named("other", **{attribute: value})))
        assert made.startswith(f"/data/attributes/{attribute}"), (attribute, value)
        response = await client.patch(f"{PATH}/net", document("workspaces", {attribute: value}))
        assert pointer(response) == made, (attribute, value)


async def test_turning_off_what_there_is_not_is_fine(client: Client) -> None:
    off = {"vcs-repo": None, "agent-pool-id": None, "assessments-enabled": False, "auto-destroy-at": None}
    assert (await client.post(PATH, named(**off))).status_code == 201


async def test_a_name_is_taken_once_and_free_again_after_deletion(client: Client) -> None:
    assert (await client.post(PATH, named())).status_code == 201
    assert error(await client.post(PATH, named()))["detail"] == "Name has already been taken."
    assert (await client.delete(f"{PATH}/net")).status_code == 204
    assert (await client.get(f"{PATH}/net")).status_code == 404
    assert (await client.post(PATH, named())).status_code == 201
    assert await Workspace.filter(name="net").count() == 2


async def test_of_ten_that_ask_for_one_name_at_once_one_gets_it(client: Client) -> None:
    answers = await asyncio.gather(*(client.post(PATH, named()) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201, *[422] * 9]
    assert await Workspace.filter(name="net").count() == 1


async def test_a_version_that_no_worker_has_is_refused_by_naming_what_there_is(client: Client) -> None:
    await workers.register("wrk-1", "one", 2, ["terraform/1.11.4", "terraform/1.10.5", "opentofu/1.9.0"])
    made = await client.post(PATH, named(**{"terraform-version": "1.5.7"}), headers={"terraform-version": "1.5.7"})
    assert attributes(made)["terraform-version"] == "1.11.4"
    refused = await client.patch(f"{PATH}/net", document("workspaces", {"terraform-version": "1.5.7"}))
    assert pointer(refused) == "/data/attributes/terraform-version"
    assert "1.11.4, 1.10.5" in error(refused)["detail"]
    assert "1.9.0" not in error(refused)["detail"]
    refused = await client.post(PATH, named("other", **{"terraform-version": "1.5.7"}))
    assert pointer(refused) == "/data/attributes/terraform-version"
    constraint = document("workspaces", {"terraform-version": "~> 1.10.0"})
    assert (await client.patch(f"{PATH}/net", constraint)).status_code == 200


async def test_an_engine_that_no_worker_has_is_refused_with_the_remedy(client: Client) -> None:
    await client.post(PATH, named())
    opentofu = document("workspaces", {"engine": "opentofu"})
    await workers.register("wrk-1", "one", 2, ["terraform/1.11.4"], downloads=True)
    refused = await client.patch(f"{PATH}/net", opentofu)
    assert pointer(refused) == "/data/attributes/engine"
    assert "No worker of this server has OpenTofu, and the index" in error(refused)["detail"]
    assert pointer(await client.post(PATH, named("other", engine="opentofu"))) == "/data/attributes/engine"
    await workers.register("wrk-2", "two", 2, ["opentofu/1.11.4"])
    assert attributes(await client.patch(f"{PATH}/net", opentofu))["engine"] == "opentofu"


async def test_a_project_is_taken_by_id(client: Client, organization: Organization) -> None:
    project = await factories.make_project(organization, "network")
    relation = {"project": {"data": {"type": "projects", "id": project.id}}}
    made = await client.post(PATH, document("workspaces", {"name": "net"}, relation))
    assert made.json()["data"]["relationships"]["project"]["data"]["id"] == project.id
    found = await client.get(PATH, params={"filter[project][id]": project.id})
    assert [one["attributes"]["name"] for one in found.json()["data"]] == ["net"]


async def test_a_project_of_another_organization_is_not_there(client: Client, stranger: Client) -> None:
    theirs = (await stranger.get("/organizations/evil/projects")).json()["data"][0]["id"]
    relation = {"project": {"data": {"type": "projects", "id": theirs}}}
    response = await client.post(PATH, document("workspaces", {"name": "net"}, relation))
    assert pointer(response) == "/data/relationships/project/data/id"


async def test_a_relation_that_is_none_is_422_where_it_stands(client: Client) -> None:
    wrong: list[Any] = [5, {}, {"data": []}, {"data": {"type": "runs", "id": "x"}}, {"data": {"id": "x"}}]
    for relation in wrong:
        response = await client.post(PATH, document("workspaces", {"name": "net"}, {"project": relation}))
        assert pointer(response).startswith("/data/relationships/project"), relation


async def test_a_stranger_finds_nothing_and_changes_nothing(stranger: Client, organization: Organization) -> None:
    workspace = await factories.make_workspace(organization, "net")
    id = f"/workspaces/{workspace.id}"
    for method, path in [
        ("GET", id),
        ("PATCH", id),
        ("DELETE", id),
        ("POST", f"{id}/actions/lock"),
        ("POST", f"{id}/actions/unlock"),
        ("POST", f"{id}/actions/force-unlock"),
        ("POST", f"{id}/actions/safe-delete"),
        ("GET", f"{id}/vars"),
        ("POST", f"{id}/vars"),
        ("GET", f"{id}/tag-bindings"),
        ("PATCH", f"{id}/tag-bindings"),
        ("POST", f"{id}/relationships/tags"),
        ("GET", f"{id}/relationships/remote-state-consumers"),
        ("POST", f"{id}/configuration-versions"),
        ("GET", f"{PATH}/net"),
        ("DELETE", f"{PATH}/net"),
        ("POST", f"{PATH}/net/actions/safe-delete"),
        ("GET", PATH),
        ("POST", PATH),
    ]:
        response = await stranger.request(method, path, {"data": {"type": "nonsense"}})
        assert response.status_code == 404, (method, path)
    assert await Workspace.filter(organization_id=organization.id, deleted_at=None).count() == 1


async def test_an_unknown_workspace_is_404_whatever_it_is_called(client: Client) -> None:
    for id in ("ws-none", "x" * 300, "a%2Fb", "%F0%9F%A6%86", "ws-%00"):
        assert (await client.get(f"/workspaces/{id}")).status_code == 404
        assert (await client.get(f"{PATH}/{id}")).status_code == 404


async def test_t23_safe_delete_goes_by_organization_and_name_too(client: Client, organization: Organization) -> None:
    for name, path in [("one", f"{PATH}/one"), ("two", None)]:
        workspace = await factories.make_workspace(organization, name)
        where = path or f"/workspaces/{workspace.id}"
        assert (await client.post(f"{where}/actions/safe-delete")).status_code == 204
    assert (await client.get(PATH)).json()["data"] == []


async def test_safe_delete_refuses_in_words_that_terraform_knows(client: Client, organization: Organization) -> None:
    workspace = await factories.make_workspace(organization, "net")
    path = f"{PATH}/net/actions/safe-delete"
    await client.post(f"/workspaces/{workspace.id}/actions/lock")
    locked = await client.post(path)
    assert (locked.status_code, "locked" in error(locked)["detail"]) == (409, True)
    await client.post(f"/workspaces/{workspace.id}/actions/unlock")
    await Workspace.filter(id=workspace.id).update(resource_count=3)
    managing = await client.post(path)
    assert managing.status_code == 409
    assert "manages 3 resources" in error(managing)["detail"]
    assert "locked" not in error(managing)["detail"]
    assert (await client.delete(f"{PATH}/net")).status_code == 204


async def test_t25_pages_lead_on_until_the_last_one(client: Client, organization: Organization) -> None:
    for number in range(5):
        await factories.make_workspace(organization, f"ws{number}")
    seen, number = [], 1
    while number:
        response = await client.get(PATH, params={"page[number]": number, "page[size]": 2})
        seen += [one["attributes"]["name"] for one in response.json()["data"]]
        pagination = response.json()["meta"]["pagination"]
        assert (pagination["current-page"], pagination["total-count"]) == (number, 5)
        number = pagination["next-page"]
    assert seen == [f"ws{number}" for number in range(5)]


async def test_a_page_is_at_most_a_hundred_long(client: Client) -> None:
    response = await client.get(PATH, params={"page[size]": 100_000})
    assert response.json()["meta"]["pagination"]["page-size"] == 100
    for bad in ("0", "-1", "x", "1.5"):
        assert (await client.get(PATH, params={"page[size]": bad})).status_code == 422
    past = await client.get(PATH, params={"page[number]": "99999999999999999999"})
    assert (past.status_code, past.json()["data"]) == (200, [])


async def test_t24_query_keys_nobody_knows_are_passed_over(client: Client, organization: Organization) -> None:
    await factories.make_workspace(organization, "net", tags={"env": "dev"})
    params = [("TagBindings", "{ env dev}"), ("TagBindings", "{ a b}"), ("filter[tagged][x][y]", "z"), ("[", "]")]
    response = await client.get(PATH, params=params)
    assert [one["attributes"]["name"] for one in response.json()["data"]] == ["net"]


@pytest.fixture
async def tagged(organization: Organization) -> None:
    await factories.make_workspace(organization, "dev-net", tags={"env": "dev", "net": ""})
    await factories.make_workspace(organization, "prod-net", tags={"env": "prod", "net": ""})
    await factories.make_workspace(organization, "prod_db", tags={"env": "prod", "db": ""})


LISTS: list[tuple[dict[str, str], list[str]]] = [
    ({"search[tags]": "net"}, ["dev-net", "prod-net"]),
    ({"search[tags]": "net,env"}, ["dev-net", "prod-net"]),
    ({"search[tags]": "net,db"}, []),
    ({"search[exclude-tags]": "db"}, ["dev-net", "prod-net"]),
    ({"filter[tagged][0][key]": "env", "filter[tagged][0][value]": "prod"}, ["prod-net", "prod_db"]),
    (
        {
            "filter[tagged][0][key]": "env",
            "filter[tagged][0][value]": "prod",
            "filter[tagged][1][key]": "db",
            "search[tags]": "env,db",
        },
        ["prod_db"],
    ),
    ({"filter[tagged][0][key]": "env"}, ["dev-net", "prod-net", "prod_db"]),
    ({"filter[tagged][0][value]": "prod"}, ["dev-net", "prod-net", "prod_db"]),
    ({"search[name]": "prod"}, ["prod-net", "prod_db"]),
    ({"search[name]": "PROD"}, ["prod-net", "prod_db"]),
    ({"search[name]": "d_d"}, ["prod_db"]),
    ({"search[name]": "%"}, []),
    ({"search[name]": ""}, ["dev-net", "prod-net", "prod_db"]),
    ({"search[wildcard-name]": "*net"}, ["dev-net", "prod-net"]),
    ({"search[wildcard-name]": "prod*"}, ["prod-net", "prod_db"]),
    ({"search[wildcard-name]": "*d-n*"}, ["prod-net"]),
    ({"search[wildcard-name]": "prod"}, []),
    ({"filter[current-run][status]": "applied,errored"}, []),
    ({"filter[project][id]": "x" * 300}, []),
    ({"sort": "-name"}, ["prod_db", "prod-net", "dev-net"]),
]


async def test_a_list_is_narrowed_and_ordered(client: Client, tagged: None) -> None:
    for params, found in LISTS:
        response = await client.get(PATH, params=params)
        names = [one["attributes"]["name"] for one in response.json()["data"]]
        assert (names if "sort" in params else sorted(names)) == found, params
        assert response.json()["meta"]["pagination"]["total-count"] == len(found)


async def test_every_order_there_is_works(client: Client, tagged: None) -> None:
    for column in ("name", "latest-change-at", "current-run.created-at"):
        for sort in (column, f"-{column}"):
            assert len((await client.get(PATH, params={"sort": sort})).json()["data"]) == 3, sort


async def test_an_order_there_is_not_is_400_and_names_those_there_are(client: Client) -> None:
    response = await client.get(PATH, params={"sort": "color"})
    assert response.status_code == 400
    assert "latest-change-at" in error(response)["detail"]


async def test_too_many_tags_at_once_are_refused(client: Client) -> None:
    response = await client.get(PATH, params={"search[tags]": ",".join(map(str, range(5000)))})
    assert response.status_code == 422


async def test_a_workspace_of_a_colleague_is_seen_too(
    client: Client, organization: Organization, anonymous: Client
) -> None:
    bob: User = await factories.make_user("bob")
    await factories.make_workspace(organization, "net")
    colleague = await anonymous.as_user(bob)
    assert (await colleague.get(f"{PATH}/net")).status_code == 404
    from app import organizations
    from app.access.actors import SYSTEM

    await organizations.add_owner(SYSTEM, organization, bob)
    assert (await colleague.get(f"{PATH}/net")).status_code == 200
