from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from app import asgi
from app import settings as settings_module
from app.errors import Unavailable
from app.settings import Settings
from app.storage import keys, objects, stores
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


def directory_of(settings: Settings) -> Path:
    return Path(settings.objects_url.reveal().removeprefix("file://"))


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_directory_of_objects_that_is_gone_makes_it_down_and_none_is_made(
    anonymous: Client, opened: Settings
) -> None:
    place = directory_of(opened)
    assert (await anonymous.get("//health")).status_code == 200
    stored = await objects.put("state", None, b"a state")
    away = place.rename(place.with_name("away"))
    for is_mounted_no_more in (False, True):
        if is_mounted_no_more:
            place.mkdir()
        response = await anonymous.get("//health")
        assert (response.status_code, response.json()["status"]) == (503, "down")
        assert "no .stateroom in it" in response.json()["parts"]["objects"]
        for refused in (objects.put("state", None, b"x"), objects.read(stored)):
            with pytest.raises(Unavailable, match="is not the one that objects are kept in"):
                await refused
        assert list(place.glob("*")) == []
        assert place.exists() == is_mounted_no_more
    place.rmdir()
    away.rename(place)
    assert (await anonymous.get("//health")).status_code == 200
    assert await objects.read(stored) == b"a state"


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_start_knows_the_directory_of_objects_by_its_mark_or_by_an_object(
    anonymous: Client, opened: Settings
) -> None:
    place = directory_of(opened)
    await (await objects.put("state", None, b"a state")).save()
    mark = place / stores.MARK
    mark.unlink()  # as an earlier version left it
    objects.connect(opened)
    assert await objects.settle() is None
    assert mark.exists()
    mark.unlink()
    away = place.rename(place.with_name("away"))
    (place / "lost+found" / "x").mkdir(parents=True)
    objects.connect(opened)
    assert "Mount the volume" in (await objects.settle() or "")
    assert (await anonymous.get("//health")).status_code == 503
    assert not mark.exists()
    assert away.exists()


def metrics_of(opened: Settings, **changes: object) -> Callable[..., Awaitable[httpx2.Response]]:
    """Asks for metrics from an address, with headers."""
    settings = settings_module.load(**opened.model_dump() | {"metrics_token": "let-me-see"} | changes)
    app = asgi.create_app(settings)

    async def ask(address: str, **headers: str) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, client=(address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url=EXTERNAL_URL) as http:
            return await http.get("/metrics", headers=headers)

    return ask


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_metrics_are_for_this_machine_and_who_has_the_token(opened: Settings) -> None:
    ask = metrics_of(opened)

    assert (await ask("127.0.0.1")).status_code == 200
    assert (await ask("::1")).status_code == 200
    assert (await ask("10.0.0.7")).status_code == 403
    assert (await ask("10.0.0.7", authorization="Bearer wrong")).status_code == 403
    seen = await ask("10.0.0.7", authorization="Bearer let-me-see")
    assert seen.status_code == 200
    assert 'stateroom_requests_total{method="GET",route="/metrics",status="403"}' in seen.text


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_behind_a_proxy_no_address_shows_metrics(opened: Settings) -> None:
    ask = metrics_of(opened, behind_proxy=True)
    for address in ("127.0.0.1", "::1", "10.0.0.7"):
        refused = await ask(address)
        assert (refused.status_code, "this machine" in refused.text) == (403, False)
        assert (await ask(address, authorization="Bearer let-me-see")).status_code == 200


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_metrics_and_logs_know_routes_and_no_paths(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    await client.get("/workspaces/ws-some-hidden-path")
    await client.get("//v1/object/some.hidden.1.token")
    shown = (await client.get("//metrics")).text + capsys.readouterr().out
    assert "/api/v2/workspaces/{id}" in shown
    assert "hidden" not in shown
