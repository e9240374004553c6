from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from app import asgi
from app import settings as settings_module
from app.settings import Settings
from app.storage import keys, objects
from tests.api import EXTERNAL_URL, Client
from tests.services import Parts


async def test_without_valkey_it_is_degraded_and_goes_on(anonymous: Client) -> None:
    response = await anonymous.get("//health")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert response.json()["parts"]["database"] == "ok"
    assert "STATEROOM_REDIS_URL" in response.json()["parts"]["valkey"]


async def test_with_all_its_parts_it_is_ok(opened: Settings, parts: Parts) -> None:
    settings = settings_module.load(**opened.model_dump() | {"redis_url": parts.redis_url})
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=asgi.create_app(settings)), base_url=EXTERNAL_URL
    ) as http:
        response = await http.get("/health")
    assert response.json()["status"] == "ok"
    assert set(response.json()["parts"].values()) == {"ok"}


async def test_a_valkey_that_does_not_answer_is_missing_too(opened: Settings, tmp_path: Path) -> None:
    settings = settings_module.load(**opened.model_dump() | {"redis_url": f"unix://{tmp_path}/nobody.sock"})
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=asgi.create_app(settings)), base_url=EXTERNAL_URL
    ) as http:
        response = await http.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_without_objects_or_keys_it_is_down(anonymous: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_store", None)
    response = await anonymous.get("//health")
    assert (response.status_code, response.json()["status"]) == (503, "down")
    assert response.json()["parts"]["objects"] != "ok"
    keys.use(None)
    response = await anonymous.get("//health")
    assert response.json()["parts"]["keys"] != "ok"
    assert (await anonymous.get("//health/live")).status_code == 200


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_metrics_are_for_this_machine_and_who_has_the_token(opened: Settings) -> None:
    settings = settings_module.load(**opened.model_dump() | {"metrics_token": "let-me-see"})
    app = asgi.create_app(settings)

    async def ask(address: str, **headers: str) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, client=(address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url=EXTERNAL_URL) as http:
            return await http.get("/metrics", headers=headers)

    assert (await ask("127.0.0.1")).status_code == 200
    assert (await ask("::1")).status_code == 200
    assert (await ask("10.0.0.7")).status_code == 403
    assert (await ask("10.0.0.7", authorization="Bearer wrong")).status_code == 403
    seen = await ask("10.0.0.7", authorization="Bearer let-me-see")
    assert seen.status_code == 200
    assert 'stateroom_requests_total{method="GET",route="/metrics",status="403"}' in seen.text


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_metrics_and_logs_know_routes_and_no_paths(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    await client.get("/workspaces/ws-some-hidden-path")
    await client.get("//v1/object/some.hidden.1.token")
    shown = (await client.get("//metrics")).text + capsys.readouterr().out
    assert "/api/v2/workspaces/{id}" in shown
    assert "hidden" not in shown
