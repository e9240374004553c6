"""The pages, spoken to as a browser does, on each set of parts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app import asgi
from app import settings as settings_module
from app.access import sessions, tokens
from app.access.models import User
from app.organizations.models import Organization
from app.settings import Settings
from app.workspaces.models import Workspace
from tests import factories
from tests.migrated import migrated
from tests.services import Parts

URL = "https://stateroom.test"
COOKIE = "__Host-stateroom"


@dataclass(frozen=True)
class Browser:
    """Keeps cookies, follows no redirect by itself, and sends forms as a page of ours would."""

    http: httpx2.AsyncClient
    form_token: str = ""

    async def get(self, path: str, **given: Any) -> httpx2.Response:
        return _checked(await self.http.get(path, **given))

    async def post(self, path: str, form: dict[str, str] | None = None, **given: Any) -> httpx2.Response:
        headers = given.pop("headers", {"origin": URL})
        sent = {"form_token": self.form_token} | (form or {})
        return _checked(await self.http.post(path, data=sent, headers=headers, **given))


Open = Callable[[User | None], Awaitable[Browser]]


def _checked(response: httpx2.Response) -> httpx2.Response:
    assert response.status_code != 500, response.text
    return response


def text(response: httpx2.Response) -> str:
    """What a reader sees of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.text)).split())


@pytest.fixture
def settings(parts: Parts, tmp_path: Path) -> Settings:
    return settings_module.load(
        data_dir=tmp_path,
        database_url=parts.prepared(migrated, "migrated"),
        redis_url=parts.redis_url,
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
        external_url=URL,
    )


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Settings]:
    tokens.forget_known()
    async with asgi.opened(settings):
        yield settings


@pytest.fixture
async def browse(opened: Settings) -> AsyncIterator[Open]:
    """Opens a browser in which that user is signed in; None: nobody."""
    transport = httpx2.ASGITransport(app=asgi.create_app(opened))
    clients: list[httpx2.AsyncClient] = []

    async def browse(user: User | None) -> Browser:
        http = httpx2.AsyncClient(transport=transport, base_url=URL)
        clients.append(http)
        if user is None:
            return Browser(http)
        session, cookie = await sessions.start(user)
        http.cookies.set(COOKIE, cookie.reveal(), domain="stateroom.test")
        return Browser(http, session.form_token)

    yield browse
    for http in clients:
        await http.aclose()


@pytest.fixture
async def owner(opened: Settings) -> User:
    return await factories.make_user("alice")


@pytest.fixture
async def organization(owner: User) -> Organization:
    return await factories.make_organization("acme", owner=owner)


@pytest.fixture
async def workspace(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "network")


@pytest.fixture
async def alice(browse: Open, owner: User, organization: Organization) -> Browser:
    """Who belongs to acme."""
    return await browse(owner)


@pytest.fixture
async def stranger(browse: Open) -> Browser:
    """Who belongs to another organization."""
    user = await factories.make_user("mallory")
    await factories.make_organization("elsewhere", owner=user)
    return await browse(user)


@pytest.fixture
async def nobody(browse: Open) -> Browser:
    return await browse(None)
