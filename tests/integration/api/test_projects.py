from __future__ import annotations

from typing import Any

from app.organizations.models import Organization
from app.projects.models import Project
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error, pointer

PATH = "/organizations/acme/projects"


async def test_terraform_makes_the_project_its_configuration_names(client: Client) -> None:
    assert (await client.get(PATH, params={"filter[names]": "My Project"})).json()["data"] == []
    made = await client.post(PATH, document("projects", {"name": "My Project"}))
    assert made.status_code == 201
    [found] = (await client.get(PATH, params={"filter[names]": "My Project"})).json()["data"]
    assert found["id"] == made.json()["data"]["id"]
    assert found["attributes"]["name"] == "My Project"


async def test_only_exact_names_are_found_and_several_by_comma(client: Client, organization: Organization) -> None:
    for name in ("net", "net-2", "app"):
        await factories.make_project(organization, name)
    response = await client.get(PATH, params={"filter[names]": "net,app"})
    assert [one["attributes"]["name"] for one in response.json()["data"]] == ["app", "net"]
    response = await client.get(PATH, params={"q": "NET"})
    assert [one["attributes"]["name"] for one in response.json()["data"]] == ["net", "net-2"]


async def test_t25_all_projects_come_in_one_page_which_says_that_it_is_the_last(
    client: Client, organization: Organization
) -> None:
    for number in range(25):
        await factories.make_project(organization, f"project {number:02}")
    response = (await client.get(PATH)).json()
    assert len(response["data"]) == 26
    assert (response["meta"]["pagination"]["next-page"], response["meta"]["pagination"]["total-pages"]) == (None, 1)
    asked = (await client.get(PATH, params={"page[number]": 2, "page[size]": 20})).json()
    assert len(asked["data"]) == 6


async def test_a_project_is_shown_changed_and_deleted(client: Client) -> None:
    made = await client.post(PATH, document("projects", {"name": "net", "description": "d"}))
    path = f"/projects/{made.json()['data']['id']}"
    shown = attributes(await client.get(path))
    assert (shown["description"], shown["workspace-count"]) == ("d", 0)
    changed = attributes(await client.patch(path, document("projects", {"name": "net2", "description": None})))
    assert (changed["name"], changed["description"]) == ("net2", "")
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_a_project_with_workspaces_stays(client: Client, organization: Organization) -> None:
    project = await factories.make_project(organization)
    workspace = await factories.make_workspace(organization, project=project)
    assert attributes(await client.get(f"/projects/{project.id}"))["workspace-count"] == 1
    assert (await client.delete(f"/projects/{project.id}")).status_code == 409
    await client.delete(f"/workspaces/{workspace.id}")
    assert (await client.delete(f"/projects/{project.id}")).status_code == 204
    assert await Workspace.filter(id=workspace.id).exists()  # deleted, and kept with its states


async def test_the_default_project_stays(client: Client, organization: Organization) -> None:
    default = await Project.get(organization_id=organization.id)
    response = await client.delete(f"/projects/{default.id}")
    assert response.status_code == 403
    assert "default project" in error(response)["detail"]
    assert attributes(await client.get(f"/projects/{default.id}"))["permissions"]["can-destroy"] is False


async def test_a_bad_name_is_422(client: Client, organization: Organization) -> None:
    project = await factories.make_project(organization, "taken")
    wrong: list[Any] = ["", "ab", " abc", "abc ", "a/b", "äöü", "x" * 41, "x" * 300, None, 5, "Default Project"]
    for name in wrong:
        assert pointer(await client.post(PATH, document("projects", {"name": name}))) == "/data/attributes/name"
        if name is not None:
            response = await client.patch(f"/projects/{project.id}", document("projects", {"name": name}))
            assert pointer(response) == "/data/attributes/name"
    too_long = document("projects", {"name": "abc", "description": "x" * 257})
    assert pointer(await client.post(PATH, too_long)) == "/data/attributes/description"


async def test_strangers_see_no_project(stranger: Client, organization: Organization) -> None:
    project = await factories.make_project(organization)
    assert (await stranger.get(PATH)).status_code == 404
    assert (await stranger.post(PATH, document("projects", {"name": "abc"}))).status_code == 404
    for method in ("GET", "PATCH", "DELETE"):
        assert (await stranger.request(method, f"/projects/{project.id}", {})).status_code == 404
