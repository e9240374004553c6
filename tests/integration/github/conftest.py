"""The whole web process with a GitHub App, on each set of parts."""

from __future__ import annotations

from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.access.actors import SYSTEM
from app.secret import Secret
from app.settings import Settings
from github_app import apps
from github_app.models import GitHubApp
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
