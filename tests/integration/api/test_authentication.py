from __future__ import annotations

from datetime import timedelta

from app import clock
from app.access import credentials, tokens
from app.access.actors import SYSTEM
from app.access.models import Token, User
from tests import factories
from tests.api import Client, error

PATH = "/organizations/acme/entitlement-set"


async def test_without_a_token_the_api_says_what_to_send(anonymous: Client) -> None:
    response = await anonymous.get(PATH)
    assert response.status_code == 401
    assert "Authorization: Bearer" in error(response)["detail"]
    assert response.headers["content-type"].startswith("application/vnd.api+json")


async def test_a_malformed_header_is_401(anonymous: Client) -> None:
    for header in ("Bearer", "Bearer ", "Basic YTpi", "Bearer a b c", "token x", "Bearer " + "x" * 5000):
        assert (await anonymous.get(PATH, headers={"authorization": header})).status_code == 401, header


async def test_a_well_formed_stranger_is_401(anonymous: Client) -> None:
    text = credentials.generate(credentials.Kind.USER).reveal()
    response = await anonymous.get(PATH, headers={"authorization": f"Bearer {text}"})
    assert response.status_code == 401
    assert "unknown or was revoked" in error(response)["detail"]


async def test_an_expired_token_is_401_and_says_so(anonymous: Client, owner: User) -> None:
    text = await factories.make_token(owner)
    await Token.filter(user_id=owner.id).update(expires_at=clock.now() - timedelta(seconds=1))
    response = await Client(anonymous.http, text).get(PATH)
    assert response.status_code == 401
    assert "has expired" in error(response)["detail"]


async def test_a_revoked_token_is_refused_at_once(client: Client, owner: User) -> None:
    assert (await client.get(PATH)).status_code == 200
    await tokens.revoke(SYSTEM, await Token.get(user_id=owner.id))
    assert (await client.get(PATH)).status_code == 401


async def test_an_organization_made_a_moment_ago_is_seen_at_once(client: Client, owner: User) -> None:
    assert (await client.get("/organizations/later/entitlement-set")).status_code == 404
    await factories.make_organization("later", owner=owner)
    assert (await client.get("/organizations/later/entitlement-set")).status_code == 200


async def test_who_is_not_a_member_does_not_learn_that_an_organization_exists(stranger: Client, client: Client) -> None:
    existing, missing = await stranger.get(PATH), await stranger.get("/organizations/none/entitlement-set")
    assert existing.status_code == missing.status_code == 404
    assert error(existing)["title"] == error(missing)["title"]


async def test_the_use_of_a_token_is_noted(client: Client, owner: User) -> None:
    await client.get(PATH)
    assert (await Token.get(user_id=owner.id)).last_used_at is not None


async def test_the_database_does_not_hold_the_token(client: Client, owner: User) -> None:
    [row] = await Token.filter(user_id=owner.id).values()
    assert client.token is not None
    assert client.token not in str(row)
    assert client.token.split(".")[2] not in str(row)
