"""The whole web process, spoken to over HTTP, on each set of parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app import asgi
from app import settings as settings_module
from app.access import tokens
from app.access.models import User
from app.organizations.models import Organization
from app.settings import Settings
from tests import factories
from tests.api import EXTERNAL_URL, Client
from tests.migrated import migrated
from tests.services import Parts


@pytest.fixture
async def settings(parts: Parts, tmp_path: Path) -> Settings:
    return settings_module.load(
        data_dir=tmp_path,
        database_url=parts.prepared(migrated, "migrated"),
        objects_url=parts.objects_url,
        objects_options=parts.objects_options,
        external_url=EXTERNAL_URL,
    )


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Settings]:
    """Database, keys and objects, as the web process opens them."""
    tokens.forget_known()
    async with asgi.opened(settings):
        yield settings


@pytest.fixture
async def anonymous(opened: Settings) -> AsyncIterator[Client]:
    """Somebody without a token."""
    transport = httpx2.ASGITransport(app=asgi.create_app(opened))
    async with httpx2.AsyncClient(transport=transport, base_url=EXTERNAL_URL) as http:
        yield Client(http)


@pytest.fixture
async def owner(opened: Settings) -> User:
    return await factories.make_user("alice")


@pytest.fixture
async def organization(owner: User) -> Organization:
    return await factories.make_organization("acme", owner=owner)


@pytest.fixture
async def client(anonymous: Client, owner: User, organization: Organization) -> Client:
    """alice, who owns the organization acme."""
    return await anonymous.as_user(owner)


@pytest.fixture
async def stranger(anonymous: Client, opened: Settings) -> Client:
    """mallory, who owns another organization and has nothing to do with acme."""
    mallory = await factories.make_user("mallory")
    await factories.make_organization("evil", owner=mallory)
    return await anonymous.as_user(mallory)
