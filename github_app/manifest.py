"""Making an app at GitHub by its manifest flow: our form, GitHub's page, and the way back with a code.

The state that GitHub carries back is random and good once, within the hour that GitHub gives the code, in the session
that began; with it belongs which GitHub the code is for.  Source: `github-app.md` §1.2 of the protocol notes.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from app import clock, ids, links, settings
from app.access.actors import Actor
from app.access.models import Session
from app.access.permissions import require_on_site
from app.errors import Invalid, StateroomError
from app.storage import crypto
from github_app import apps, needs
from github_app.models import GitHubAppSetup

#: GitHub gives an hour from its page to the exchange of the code.
LIFE = timedelta(hours=1)
LONGEST_NAME = 34
CREATED = f"{links.GITHUB_APPS}/created"
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)
_STATE = re.compile(r"[A-Za-z0-9_-]{20,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Begun:
    """What the browser sends to GitHub: `manifest` to `address`."""

    setup: GitHubAppSetup
    address: str
    manifest: dict[str, Any]


class NotBegun(StateroomError):
    """What came back from GitHub belongs to nothing that was begun here, or no more."""


def unreachable(web_url: str = apps.GITHUB) -> str | None:
    """Why GitHub at *web_url* surely cannot deliver to this server, as far as its address tells."""
    url = settings.current().webhook_url
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    is_local = host == "localhost" or host.endswith(".localhost")
    if is_local or (address is not None and (address.is_loopback or address.is_unspecified)):
        return (
            f"GitHub would deliver to {url}, which means itself to every machine, so nothing would arrive here. Set"
            " STATEROOM_EXTERNAL_URL to the address under which others reach this server (or STATEROOM_WEBHOOK_URL, if"
            " GitHub alone reaches it by another) and start it again."
        )
    if address is not None and address.is_private and apps.is_hosted(web_url):
        return (
            f"GitHub would deliver to {url}, an address of a private network, which it cannot reach from the internet."
            " Set STATEROOM_WEBHOOK_URL to one that it can."
        )
    return None


def default_name() -> str:
    """Names are unique in all of a GitHub, so ours begins with what tells us apart."""
    return f"Stateroom {urlsplit(settings.current().external_url).hostname}"[:LONGEST_NAME].rstrip(" .-")


async def begin(actor: Actor, session: Session, *, web_url: str, owner: str, name: str) -> Begun:
    """Let *session* make an app at *web_url*, owned by the organization *owner*, or by the person if that is empty."""
    await require_on_site(actor, "github-app:create")
    hosts = apps.hosts_of(web_url)
    if problem := unreachable(hosts.web):
        raise Invalid(problem, field="web_url")
    if owner and not _OWNER.fullmatch(owner):
        raise Invalid("This is the name of an organization as in its address: acme in github.com/acme.", field="owner")
    if not 0 < len(name) <= LONGEST_NAME:
        raise Invalid(f"The name of an app has 1 to {LONGEST_NAME} characters.", field="name")
    await GitHubAppSetup.filter(created_at__lt=clock.now() - LIFE).delete()
    state = secrets.token_urlsafe(32)
    setup = await GitHubAppSetup.create(
        id=ids.new("github_app"),
        state_digest=crypto.digest(state),
        session_id=session.id,
        web_url=hosts.web,
        owner=owner,
        created_at=clock.now(),
    )
    address = f"{apps.settings_url(hosts.web, owner)}/new?state={quote(state, safe='')}"
    return Begun(setup, address, document(setup.id, name))


async def take_back(actor: Actor, session: Session, state: str) -> GitHubAppSetup:
    """What *state* was given out for; it is used up by that.  Raises `NotBegun`."""
    await require_on_site(actor, "github-app:create")
    began = GitHubAppSetup.filter(session_id=session.id, created_at__gt=clock.now() - LIFE)
    setup = await began.get_or_none(state_digest__in=crypto.digests(state)) if _STATE.fullmatch(state) else None
    if setup is None or not await GitHubAppSetup.filter(id=setup.id).delete():
        raise NotBegun(
            "What GitHub sent belongs to nothing that this session began within the last hour, or was used already, so"
            " its code was not looked at."
        )
    return setup


def document(app_id: str, name: str) -> dict[str, Any]:
    """The manifest of the app that will have our id *app_id*."""
    here = settings.current().external_url
    return {
        "name": name,
        "url": here,
        "description": "Plans and applies Terraform where it is reviewed.",
        "public": False,
        "hook_attributes": {"url": apps.webhook_url_of(app_id), "active": True},
        "redirect_url": here + CREATED,
        "callback_urls": [here + links.GITHUB_CALLBACK],
        "setup_url": here + links.GITHUB_SETUP,
        "setup_on_update": True,
        "request_oauth_on_install": True,
        "default_permissions": {one.name: one.level for one in needs.PERMISSIONS},
        "default_events": [one.name for one in needs.EVENTS],
    }


def without_merge_queues(manifest: dict[str, Any]) -> dict[str, Any]:
    """For an Enterprise Server that is older than they are, and refuses what it does not know."""
    permissions = {k: v for k, v in manifest["default_permissions"].items() if k != needs.MERGE_QUEUES.name}
    events = [one for one in manifest["default_events"] if one != needs.MERGE_GROUP.name]
    return {**manifest, "default_permissions": permissions, "default_events": events}
