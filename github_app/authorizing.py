"""The way to GitHub's sign-in and back: a state that is good once, within the hour, in the session that began.

What is to be done with the proof is decided before, by a form of ours, and kept here: an address that somebody made up
does nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

from app import clock, links, settings
from app.access.models import Session
from app.errors import Invalid
from app.organizations.models import Organization
from app.storage import crypto
from github_app import accounts
from github_app.models import GitHubApp, GitHubAuthorization

LIFE = timedelta(hours=1)
_STATE = re.compile(r"[A-Za-z0-9_-]{20,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Begun:
    """What was begun, and what the code's exchange has to show besides."""

    row: GitHubAuthorization
    verifier: str


async def begin(
    session: Session,
    app: GitHubApp,
    *,
    installation_number: int | None = None,
    organization: Organization | None = None,
) -> str:
    """Where to send the browser of *session*.  With an installation and an organization the one is to use the other."""
    if not app.client_id or not app.sealed_client_secret:
        raise Invalid("Nobody can sign in through this app: a site admin has to enter its client secret first.")
    old = GitHubAuthorization.filter(created_at__lt=clock.now() - LIFE)
    await old.delete()
    await GitHubAuthorization.filter(session_id=session.id).delete()
    state = secrets.token_urlsafe(32)
    await GitHubAuthorization.create(
        state_digest=crypto.digest(state),
        session_id=session.id,
        app_id=app.id,
        installation_number=installation_number,
        organization_id=organization.id if organization else None,
        created_at=clock.now(),
    )
    digest = hashlib.sha256(_verifier(state).encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return accounts.authorization_url(app, state=state, redirect_uri=redirect_uri(), challenge=challenge)


async def take_back(session: Session, state: str) -> Begun | None:
    """What *state* was given out for, which uses it up; None if it was not, to this session, within the hour."""
    if not _STATE.fullmatch(state):
        return None
    began = GitHubAuthorization.filter(session_id=session.id, created_at__gt=clock.now() - LIFE)
    row = await began.get_or_none(state_digest__in=crypto.digests(state))
    if row is None or not await GitHubAuthorization.filter(state_digest=row.state_digest).delete():
        return None
    return Begun(row, _verifier(state))


def redirect_uri() -> str:
    return settings.current().external_url + links.GITHUB_CALLBACK


def _verifier(state: str) -> str:
    """Nobody who sees the state can tell it (RFC 7636: 43 to 128 letters and digits)."""
    return crypto.fingerprint(state.encode(), "github sign-in")
