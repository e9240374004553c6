from __future__ import annotations

from app.access.models import User
from tests import factories
from tests.api import Client, attributes, document, error, pointer


async def test_terraform_login_greets_the_user_by_name(client: Client) -> None:
    response = await client.get("/account/details")
    assert response.json()["data"]["type"] == "users"
    assert attributes(response)["username"] == "alice"


async def test_a_user_makes_lists_and_revokes_tokens(client: Client, owner: User) -> None:
    path = f"/users/{owner.id}/authentication-tokens"
    made = await client.post(path, document("authentication-tokens", {"description": "laptop"}))
    assert made.status_code == 201
    text = attributes(made)["token"]
    id = made.json()["data"]["id"]
    fresh = Client(client.http, text)
    assert (await fresh.get("/account/details")).status_code == 200
    listed = (await client.get(path)).json()["data"]
    assert {one["attributes"]["description"] for one in listed} == {"", "laptop"}
    assert all(one["attributes"]["token"] is None for one in listed)
    assert attributes(await client.get(f"/authentication-tokens/{id}"))["token"] is None
    assert (await client.delete(f"/authentication-tokens/{id}")).status_code == 204
    assert (await fresh.get("/account/details")).status_code == 401


async def test_a_token_ends_when_it_was_told_to(client: Client, owner: User) -> None:
    path = f"/users/{owner.id}/authentication-tokens"
    for wrong in ("2001-01-01T00:00:00Z", "tomorrow", "9999-12-31T23:59:59-23:00", 5):
        response = await client.post(path, document("authentication-tokens", {"expired-at": wrong}))
        assert pointer(response) == "/data/attributes/expired-at", wrong
    good = await client.post(path, document("authentication-tokens", {"expired-at": "2100-01-01T00:00:00+01:00"}))
    assert attributes(good)["expired-at"] == "2099-12-31T23:00:00.000Z"
    never = await client.post(path, document("authentication-tokens", {"expired-at": None}))
    assert attributes(never)["expired-at"] is None
    zoneless = await client.post(path, document("authentication-tokens", {"expired-at": "2100-01-01T00:00:00"}))
    assert attributes(zoneless)["expired-at"] == "2100-01-01T00:00:00.000Z"


async def test_nobody_makes_or_sees_the_tokens_of_another(client: Client, stranger: Client, owner: User) -> None:
    path = f"/users/{owner.id}/authentication-tokens"
    assert (await stranger.get(path)).json()["data"] == []
    assert (await stranger.post(path, document("authentication-tokens", {}))).status_code == 404
    [mine] = (await client.get(path)).json()["data"]
    for method in ("GET", "DELETE"):
        assert (await stranger.request(method, f"/authentication-tokens/{mine['id']}")).status_code == 404


async def test_a_colleague_is_seen_without_an_address_and_given_no_token(
    client: Client, anonymous: Client, owner: User
) -> None:
    from app import organizations
    from app.access.actors import SYSTEM
    from app.organizations.models import Organization

    bob = await factories.make_user("bob", email="bob@example.com")
    assert (await client.get(f"/users/{bob.id}")).status_code == 404
    await organizations.add_owner(SYSTEM, await Organization.get(name="acme"), bob)
    response = await client.get(f"/users/{bob.id}")
    assert attributes(response)["username"] == "bob"
    assert "bob@example.com" not in response.text
    refused = await client.post(f"/users/{bob.id}/authentication-tokens", document("authentication-tokens", {}))
    assert refused.status_code == 403
    assert error(refused)["detail"]
