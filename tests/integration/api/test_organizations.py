from __future__ import annotations

from typing import Any

import pytest

from app import settings as settings_module
from app.access.models import User
from app.organizations.models import Organization
from app.projects.models import Project
from app.settings import Settings
from tests import factories
from tests.api import Client, attributes, document, error, pointer


@pytest.fixture
async def admin(anonymous: Client) -> Client:
    return await anonymous.as_user(await factories.make_user("root", is_site_admin=True))


async def test_a_site_admin_creates_an_organization_and_owns_it(admin: Client) -> None:
    sent = document("organizations", {"name": "new-one", "email": "ops@example.com"})
    response = await admin.post("/organizations", sent)
    assert response.status_code == 201
    data = response.json()["data"]
    assert (data["id"], data["type"]) == ("new-one", "organizations")
    assert data["attributes"]["external-id"].startswith("org-")
    shown = await admin.get("/organizations/new-one")
    assert attributes(shown)["email"] == "ops@example.com"
    organization = await Organization.get(name="new-one")
    assert (await Project.get(organization_id=organization.id)).is_default


async def test_others_need_a_setting_to_create_one(client: Client, opened: Settings) -> None:
    sent = document("organizations", {"name": "new-one", "email": "a@b"})
    refused = await client.post("/organizations", sent)
    assert refused.status_code == 403
    assert "organization:create" in error(refused)["detail"]
    settings_module.load(**opened.model_dump() | {"organizations_open": True})
    assert (await client.post("/organizations", sent)).status_code == 201


BAD_NAMES: list[Any] = ["", "a b", "a/b", "ä", "x" * 41, "x" * 300, "a.b", "..", "%2e", None, 7, ["a"], {"a": 1}, True]


async def test_a_bad_name_is_422_at_the_name(admin: Client) -> None:
    for name in BAD_NAMES:
        response = await admin.post("/organizations", document("organizations", {"name": name}))
        assert pointer(response) == "/data/attributes/name", name


async def test_a_name_is_needed(admin: Client) -> None:
    assert pointer(await admin.post("/organizations", document("organizations", {}))) == "/data/attributes/name"


async def test_a_name_is_taken_once(admin: Client, organization: Organization) -> None:
    response = await admin.post("/organizations", document("organizations", {"name": "acme"}))
    assert pointer(response) == "/data/attributes/name"
    assert error(response)["detail"] == "Name has already been taken."


async def test_a_body_that_is_no_document_is_refused_with_a_document(admin: Client) -> None:
    for body in (b"", b"{", b"[]", b"null", b'{"data": []}', b'{"data": null}', b"\xff\xfe", b'{"a":' * 5000):
        response = await admin.post("/organizations", content=body)
        assert response.status_code in (400, 422), body
        assert error(response)["detail"]


async def test_a_document_of_another_type_is_422(admin: Client) -> None:
    assert pointer(await admin.post("/organizations", document("workspaces", {"name": "x"}))) == "/data/type"


async def test_one_sees_the_organizations_one_belongs_to(client: Client, owner: User, stranger: Client) -> None:
    await factories.make_organization("second", owner=owner)
    assert [item["id"] for item in (await client.get("/organizations")).json()["data"]] == ["acme", "second"]
    found = (await client.get("/organizations", params={"q": "SEC"})).json()["data"]
    assert [item["id"] for item in found] == ["second"]


async def test_an_owner_changes_the_name_and_links_follow(client: Client) -> None:
    response = await client.patch("/organizations/acme", document("organizations", {"name": "acme2"}))
    assert response.json()["data"]["id"] == "acme2"
    assert (await client.get("/organizations/acme")).status_code == 404


async def test_agents_are_refused_with_a_sentence(client: Client) -> None:
    sent = document("organizations", {"default-execution-mode": "agent"})
    response = await client.patch("/organizations/acme", sent)
    assert pointer(response) == "/data/attributes/default-execution-mode"


async def test_terraform_learns_that_runs_are_remote(client: Client) -> None:
    data = (await client.get("/organizations/acme/entitlement-set")).json()["data"]
    assert data["type"] == "entitlement-sets"
    assert data["attributes"]["operations"] is True
    assert data["attributes"]["state-storage"] is True
    assert data["attributes"]["agents"] is False
    assert data["attributes"]["user-limit"] is None


async def test_an_unknown_organization_is_404_whatever_it_is_called(client: Client) -> None:
    for name in ("a%2Fb", "%00", "%C3%BC", "x" * 300, "..", "%F0%9F%A6%86"):
        assert (await client.get(f"/organizations/{name}/entitlement-set")).status_code == 404, name


async def test_a_name_that_a_page_has_is_refused(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.organizations import names

    monkeypatch.setattr(names, "_reserved", frozenset({"settings"}))
    response = await admin.post("/organizations", document("organizations", {"name": "Settings"}))
    assert pointer(response) == "/data/attributes/name"
    assert "page of Stateroom" in error(response)["detail"]


async def test_a_site_admin_limits_how_long_phases_may_take(admin: Client, organization: Organization) -> None:
    path = f"/admin/organizations/{organization.name}"
    shown = attributes(await admin.get(path))
    assert (shown["plan-timeout"], shown["apply-timeout"]) == (None, None)
    changed = await admin.patch(path, document("organizations", {"plan-timeout": "90m", "apply-timeout": "1h30s"}))
    assert (attributes(changed)["plan-timeout"], attributes(changed)["apply-timeout"]) == ("1h30m", "1h30s")
    await organization.refresh_from_db()
    assert (organization.plan_timeout_seconds, organization.apply_timeout_seconds) == (5400, 3630)
    changed = await admin.patch(path, document("organizations", {"plan-timeout": None}))
    assert (attributes(changed)["plan-timeout"], attributes(changed)["apply-timeout"]) == (None, "1h30s")
    for wrong in ("", "0s", "two hours", "2", 7200, "-1h", "1m1h", "9999999h", "1h\n"):
        refused = await admin.patch(path, document("organizations", {"apply-timeout": wrong}))
        assert (refused.status_code, pointer(refused)) == (422, "/data/attributes/apply-timeout"), wrong
    assert (await admin.get("/admin/organizations/none-such")).status_code == 404


async def test_who_is_no_site_admin_sets_no_limits(client: Client, organization: Organization) -> None:
    path = f"/admin/organizations/{organization.name}"
    assert (await client.get(path)).status_code == 404
    sent = document("organizations", {"plan-timeout": "90m"})
    assert (await client.patch(path, sent)).status_code == 404
