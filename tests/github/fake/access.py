"""Who calls: an app by its signature, an installation by a token with permissions, repositories and an end."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

if TYPE_CHECKING:
    from tests.github.fake.world import App, GitHub, Installation

LEVELS = {"read": 1, "write": 2, "admin": 3}


class Said(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, *, errors: list[Any] | None = None) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.body: dict[str, Any] = {
            "message": message,
            "documentation_url": "https://docs.github.com/rest",
            "status": str(status),
        }
        if errors:
            self.body["errors"] = errors


@dataclass
class Token:
    """*repositories* None means all that the installation has."""

    text: str
    installation: Installation
    permissions: dict[str, str]
    repositories: frozenset[int] | None
    expires_at: datetime
    revoked: bool = False
    used: int = field(default=0, compare=False)

    def may(self, permission: str, level: str) -> bool:
        if permission == "metadata":
            return True
        return LEVELS.get(self.permissions.get(permission, ""), 0) >= LEVELS[level]

    def sees(self, repository: int) -> bool:
        has = repository in self.installation.repositories
        return has and (self.repositories is None or repository in self.repositories)


def app_of(github: GitHub, authorization: str) -> App:
    """By the JWT.  The claims' window is the one that GitHub documents."""
    scheme, _, jwt = authorization.partition(" ")
    if scheme.lower() != "bearer" or jwt.count(".") != 2:
        raise Said(401, "A JSON web token could not be decoded")
    head, claims, signature = jwt.split(".")
    try:
        said, told = _json(head), _json(claims)
        app = github.apps.get(int(told["iss"]))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Said(401, "A JSON web token could not be decoded") from None
    if app is None:
        raise Said(404, "Integration not found")
    if said.get("alg") != "RS256":
        raise Said(401, "A JSON web token could not be decoded")
    try:
        app.public_key.verify(_raw(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Said(401, "A JSON web token could not be decoded") from None
    now = github.now().timestamp()
    if not isinstance(told.get("iat"), int) or told["iat"] > now:
        raise Said(
            401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
    if told["exp"] <= now:
        raise Said(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which"
                        " the assertion expires")  # fmt: skip
    if told["exp"] > now + 600:
        raise Said(401, "'Expiration time' claim ('exp') is too far in the future")
    return app


def token_of(github: GitHub, authorization: str) -> Token:
    scheme, _, text = authorization.partition(" ")
    token = github.tokens.get(text)
    if scheme.lower() not in ("token", "bearer") or token is None:
        raise Said(401, "Bad credentials")
    if token.revoked or token.expires_at <= github.now():
        raise Said(401, "Bad credentials")
    if token.installation.suspended_at is not None:
        raise Said(403, "This installation has been suspended")
    if token.installation.deleted:
        raise Said(401, "Bad credentials")
    token.used += 1
    return token


def mint(github: GitHub, installation: Installation, asked: dict[str, Any]) -> Token:
    permissions = asked.get("permissions") or installation.permissions
    for name, level in permissions.items():
        if LEVELS.get(installation.permissions.get(name, ""), 0) < LEVELS[level]:
            raise Said(422, "The permissions requested are not granted to this installation.")
    numbers = asked.get("repository_ids")
    if numbers is not None and not set(numbers) <= set(installation.repositories):
        raise Said(422, "There is at least one repository that does not exist or is not accessible to the parent"
                        " installation.")  # fmt: skip
    permissions = {**permissions, "metadata": "read"}
    text = github.token_text(installation)
    expires_at = (github.now() + timedelta(hours=1)).replace(microsecond=0)
    repositories = None if numbers is None else frozenset(numbers)
    token = github.tokens[text] = Token(text, installation, permissions, repositories, expires_at)
    return token


def _raw(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _json(part: str) -> dict[str, Any]:
    told = json.loads(_raw(part))
    if not isinstance(told, dict):
        raise ValueError
    return told
