"""Versions as site admins register, find, change and delete them; to anybody else there are none."""

from __future__ import annotations

from typing import Any

import pytest

from app import tool_versions
from app.access.models import User
from app.organizations.models import Organization
from app.tool_versions.models import ToolVersion
from tests import factories
from tests.api import Client, attributes, document, error, pointer

PATH = "/admin/terraform-versions"
SHA = "ab" * 32
BUNDLE = {"version": "1.9.8-acme", "url": "https://bundles.example.com/acme.zip?signed=1", "sha": SHA}


@pytest.fixture
async def admin(anonymous: Client, organization: Organization) -> Client:
    user = await factories.make_user("root")
    await User.filter(id=user.id).update(is_site_admin=True)
    return await anonymous.as_user(user)


async def register(admin: Client, **changes: Any) -> str:
    made = await admin.post(PATH, document("terraform-versions", BUNDLE | changes))
    assert made.status_code == 201, made.text
    found: str = made.json()["data"]["id"]
    return found


async def test_a_bundle_is_registered_shown_changed_and_deleted(admin: Client) -> None:
    id = await register(admin)
    assert id.startswith("tool-")
    shown = attributes(await admin.get(f"{PATH}/{id}"))
    said = {key: shown[key] for key in ("version", "url", "sha", "official", "enabled", "beta", "usage", "problem")}
    assert said == BUNDLE | {"official": False, "enabled": True, "beta": False, "usage": 0, "problem": None}
    assert shown["archs"] == [{"url": BUNDLE["url"], "sha": SHA, "os": "linux", "arch": "amd64"}]
    changes = {"deprecated": True, "deprecated-reason": "Use 1.10.", "sha": "CD" * 32}
    changed = attributes(await admin.patch(f"{PATH}/{id}", document("terraform-versions", changes)))
    assert (changed["sha"], changed["deprecated"], changed["deprecated-reason"]) == ("cd" * 32, True, "Use 1.10.")
    assert (await admin.delete(f"{PATH}/{id}")).status_code == 204
    assert (await admin.get(f"{PATH}/{id}")).status_code == 404


async def test_the_list_has_pages_filters_and_a_search(admin: Client) -> None:
    for version in ("1.9.8-acme", "1.9.9-acme", "1.10.0"):
        await register(admin, version=version)

    async def versions(query: str) -> list[str]:
        found = (await admin.get(f"{PATH}?sort=version&{query}")).json()
        return [one["attributes"]["version"] for one in found["data"]]

    assert await versions("page[size]=2") == ["1.10.0", "1.9.8-acme"]
    assert await versions("filter[version]=1.9.9-acme") == ["1.9.9-acme"]
    assert await versions("search[version]=acme") == ["1.9.8-acme", "1.9.9-acme"]
    assert await versions("filter[engine]=opentofu") == []


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"version": "~> 1.9"}, "version"),
        ({"version": "x" * 70}, "version"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://[::1/x"}, "url"),
        ({"url": "https://user:secret@example.com/x"}, "url"),
        ({"url": None}, "url"),
        ({"sha": "abc"}, "sha"),
        ({"engine": "pulumi"}, "engine"),
        ({"enabled": "yes"}, "enabled"),
        ({"archs": []}, "url"),
        ({"archs": [{"url": "https://e.com", "sha": SHA}] * 2}, "archs"),
        ({"deprecated-reason": "x" * 2000}, "deprecated-reason"),
    ],
)
async def test_what_is_not_well_formed_is_refused(admin: Client, changes: dict[str, Any], at: str) -> None:
    refused = await admin.post(PATH, document("terraform-versions", BUNDLE | changes))
    assert pointer(refused) == f"/data/attributes/{at}"


async def test_a_version_is_there_once(admin: Client) -> None:
    await register(admin)
    assert pointer(await admin.post(PATH, document("terraform-versions", BUNDLE))) == "/data/attributes/version"
    other = await register(admin, version="1.9.9-acme")
    taken = document("terraform-versions", {"version": BUNDLE["version"]})
    assert pointer(await admin.patch(f"{PATH}/{other}", taken)) == "/data/attributes/version"


async def test_a_version_that_workspaces_name_stays(admin: Client, organization: Organization) -> None:
    id = await register(admin)
    await factories.make_workspace(organization, terraform_version=BUNDLE["version"])
    assert attributes(await admin.get(f"{PATH}/{id}"))["usage"] == 1
    refused = await admin.delete(f"{PATH}/{id}")
    assert refused.status_code == 422
    assert "1 workspace names this version" in error(refused)["detail"]


async def test_a_disabled_version_is_not_to_be_named(admin: Client, client: Client, organization: Organization) -> None:
    id = await register(admin)
    await register(admin, version="1.10.0")
    workspace = await factories.make_workspace(organization, terraform_version=BUNDLE["version"])
    version = await factories.make_configuration_version(workspace)
    disabled = document("terraform-versions", {"enabled": False})
    assert (await admin.patch(f"{PATH}/{id}", disabled)).status_code == 200
    run = document(
        "runs",
        {},
        {
            "workspace": {"data": {"type": "workspaces", "id": workspace.id}},
            "configuration-version": {"data": {"type": "configuration-versions", "id": version.id}},
        },
    )
    refused = await client.post("/runs", run)
    assert refused.status_code == 422
    assert (
        "1.9.8-acme has been disabled by an administrator of this server. There is 1.10.0; set"
        in error(refused)["detail"]
    )


async def test_an_official_release_is_disabled_not_changed_or_deleted(admin: Client) -> None:
    await tool_versions.index.learn("terraform", "https://releases.example.com", {"1.9.8": ["amd64"]})
    id = (await ToolVersion.get(version="1.9.8")).id
    whole = attributes(await admin.get(f"{PATH}/{id}"))
    assert (whole["official"], whole["url"]) == (True, None)
    change = document("terraform-versions", {"enabled": False, "version": "1.9.8"})
    assert attributes(await admin.patch(f"{PATH}/{id}", change))["enabled"] is False
    assert (await admin.delete(f"{PATH}/{id}")).status_code == 422
    change = document("terraform-versions", {"url": BUNDLE["url"], "sha": SHA})
    assert "official release" in error(await admin.patch(f"{PATH}/{id}", change))["detail"]


async def test_to_anybody_else_there_is_nothing(admin: Client, client: Client, anonymous: Client) -> None:
    id = await register(admin)
    body = document("terraform-versions", BUNDLE)
    for method, path in (("GET", PATH), ("POST", PATH), *((m, f"{PATH}/{id}") for m in ("GET", "PATCH", "DELETE"))):
        assert (await client.request(method, path, body)).status_code == 404, (method, path)
        assert (await anonymous.request(method, path, body)).status_code == 401
