from __future__ import annotations

from app.access import credentials
from tests.api import Client


async def test_t31_discovery_is_plain_json_and_needs_nobody(anonymous: Client) -> None:
    response = await anonymous.get("//.well-known/terraform.json", headers={"accept": "application/json"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"


async def test_t31_a_stale_token_does_not_break_discovery(anonymous: Client) -> None:
    unknown = credentials.generate(credentials.Kind.USER).reveal()
    for stale in (f"Bearer {unknown}", "Bearer x", "nonsense"):
        response = await anonymous.get("//.well-known/terraform.json", headers={"authorization": stale})
        assert response.status_code == 200


async def test_every_backend_finds_the_api_and_ids_can_be_joined_onto_it(anonymous: Client) -> None:
    services = (await anonymous.get("//.well-known/terraform.json")).json()
    for key in ("tfe.v2", "tfe.v2.1", "state.v2"):
        assert services[key] == "/api/v2/"


async def test_discovery_promises_no_login_and_no_limit_on_versions(anonymous: Client) -> None:
    services = (await anonymous.get("//.well-known/terraform.json")).json()
    assert services.keys().isdisjoint({"login.v1", "versions.v1"})
