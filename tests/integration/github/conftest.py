"""The whole web process with a GitHub App, on each set of parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.access.actors import SYSTEM
from app.secret import Secret
from app.settings import Settings
from app.vcs.models import Installation, Repository
from github_app import apps, client
from github_app.models import GitHubApp
from tests.github import connected
from tests.github.fake import GitHub, serving, world
from tests.integration.api.conftest import anonymous, opened, settings

__all__ = ["anonymous", "opened", "settings"]

WEBHOOK_SECRET = Secret("what only GitHub and we know")


@cache
def private_key() -> Secret[str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode())


@pytest.fixture
async def app(opened: Settings) -> GitHubApp:
    secrets = apps.Secrets(private_key(), WEBHOOK_SECRET)
    return await apps.register(SYSTEM, app_id=1234, secrets=secrets, slug="stateroom-test")


#: What acme/infra begins with.
FILES: dict[str, str | bytes | None] = {
    "main.tf": "# begin\n",
    "modules/a.tf": "# a\n",
    "network/main.tf": "# network\n",
}


@dataclass
class Acme:
    """An app, its installation in acme and acme/infra, on the fake (`installed`, `there`) and here."""

    github: GitHub
    installed: world.Installation
    there: world.Repository
    app: GitHubApp
    installation: Installation
    repository: Repository


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    with serving() as served:
        yield served


@pytest.fixture
async def acme(opened: Settings, github: GitHub) -> AsyncIterator[Acme]:
    number = next(github.numbers)
    installed = github.add_app(number).install(f"acme-{number}")
    there = installed.add_repository("infra", FILES)
    github.requests.clear()
    app = await connected.register(installed.app)
    installation = await connected.know_installation(app, installed)
    repository = await connected.know_repository(installation, there)
    yield Acme(github, installed, there, app, installation, repository)
    github.faults.clear()
    github.clock_ahead = timedelta()
    await client.close()
