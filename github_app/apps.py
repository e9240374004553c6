"""The apps we are on GitHub: registering one that exists, and the secrets of each."""

from __future__ import annotations

import re
import secrets as random
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tortoise.exceptions import IntegrityError

from app import clock, ids, links, settings
from app.access.actors import Actor
from app.access.permissions import require_on_site
from app.errors import Invalid, NotFound
from app.secret import Secret
from app.storage import crypto
from github_app import payloads
from github_app.models import GitHubApp

GITHUB = "https://github.com"
LEAST_SECRET = 16
_HOST = re.compile(r"[a-z0-9.-]{1,200}(:[0-9]{1,5})?", re.ASCII)
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{0,64}", re.ASCII)
_SLUG = re.compile(r"[a-z0-9-]{0,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where a GitHub's pages are, and its REST API."""

    web: str
    api: str


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only the app and GitHub know.  `webhook` may not be empty: without one anybody could deliver."""

    private_key: Secret[str]
    webhook: Secret[str]
    client: Secret[str] | None = None


async def register(
    actor: Actor,
    *,
    app_id: int,
    secrets: Secrets,
    web_url: str = GITHUB,
    client_id: str = "",
    slug: str = "",
    id: str | None = None,
    is_secret_told: bool = True,
) -> GitHubApp:
    """Make an app that exists on GitHub known here.  *id* is ours, if it is in the app's webhook URL already."""
    await require_on_site(actor, "github-app:create")
    hosts = hosts_of(web_url)
    _check_private_key(secrets.private_key)
    _check_webhook_secret(secrets.webhook)
    if not 0 < app_id < 2**63:
        raise Invalid("An app id is the number on the app's settings page.", field="app_id")
    if not _CLIENT_ID.fullmatch(client_id):
        raise Invalid("A client id is what the app's settings page shows: Iv23… or Iv1.…", field="client_id")
    if not _SLUG.fullmatch(slug):
        raise Invalid("A slug is the end of the app's address at GitHub: small letters, digits and -.", field="slug")
    app = GitHubApp(id=id or ids.new("github_app"), web_url=hosts.web, api_url=hosts.api, app_id=app_id)
    app.client_id, app.slug, app.name = client_id, slug, slug
    app.sealed_private_key = _sealed(app, secrets.private_key)
    app.sealed_webhook_secret = _sealed(app, secrets.webhook)
    app.sealed_client_secret = _sealed(app, secrets.client) if secrets.client else None
    app.created_by_id, app.created_at, app.is_secret_told = actor.id, clock.now(), is_secret_told
    try:
        await app.save(force_create=True)
    except IntegrityError as error:
        raise Invalid(f"The app {app_id} of {hosts.web} is registered already.", field="app_id") from error
    return app


async def learn(app: GitHubApp, told: payloads.App) -> None:
    """Keep what GitHub says of the app."""
    owner = told.owner.login if told.owner and told.owner.type == "Organization" else ""
    change = {
        "slug": told.slug[:128],
        "name": told.name[:128],
        "client_id": told.client_id[:64] or app.client_id,
        "html_url": told.html_url[:255],
        "owner": owner[:128],
        "permissions": told.permissions,
        "events": told.events,
    }
    await GitHubApp.filter(id=app.id).update(**change)
    app.update_from_dict(change)


async def visible(actor: Actor) -> list[GitHubApp]:
    """All that are registered here, the eldest first."""
    await require_on_site(actor, "github-app:read")
    return await GitHubApp.all().order_by("created_at", "id")


async def for_signing_in() -> list[GitHubApp]:
    """Those through which people can show who they are at GitHub."""
    return await GitHubApp.filter(sealed_client_secret__isnull=False).exclude(client_id="").order_by("created_at", "id")


async def shown(actor: Actor, app_id: str) -> GitHubApp:
    """By our own id, for a person."""
    await require_on_site(actor, "github-app:read")
    return await find(app_id)


async def find(app_id: str) -> GitHubApp:
    """By our own id."""
    app = await GitHubApp.get_or_none(id=app_id)
    if app is None:
        raise NotFound("There is no such GitHub App here.")
    return app


async def change_webhook_secret(actor: Actor, app: GitHubApp, secret: Secret[str]) -> None:
    """Take deliveries that *secret* signs, and for now also those that the one before signs: change it here first,
    then on GitHub, then `forget_old_webhook_secret`."""
    await require_on_site(actor, "github-app:update")
    _check_webhook_secret(secret)
    sealed, old = _sealed(app, secret), app.sealed_webhook_secret
    await GitHubApp.filter(id=app.id).update(sealed_webhook_secret=sealed, sealed_old_webhook_secret=old)
    await app.refresh_from_db()


async def renew_webhook_secret(actor: Actor, app: GitHubApp) -> None:
    """Likewise with a secret of our making, which GitHub is yet to be told (`at_github.tell_webhook_secret`)."""
    await change_webhook_secret(actor, app, new_webhook_secret())
    await GitHubApp.filter(id=app.id).update(is_secret_told=False)
    await app.refresh_from_db()


def new_webhook_secret() -> Secret[str]:
    return Secret(random.token_hex(32))


def with_private_key(app: GitHubApp, key: Secret[str]) -> GitHubApp:
    """*app* as it would be with another key of its; nothing is stored."""
    _check_private_key(key)
    other = app.clone(pk=app.id)
    other.sealed_private_key = _sealed(app, key)
    return other


async def change_client_secret(actor: Actor, app: GitHubApp, secret: Secret[str]) -> None:
    """What lets people prove which account at GitHub is theirs."""
    await require_on_site(actor, "github-app:update")
    if not secret.reveal():
        raise Invalid("The client secret is what GitHub shows once, when it makes one.", field="client_secret")
    await GitHubApp.filter(id=app.id).update(sealed_client_secret=_sealed(app, secret))
    await app.refresh_from_db()


async def forget_old_webhook_secret(actor: Actor, app: GitHubApp) -> None:
    await require_on_site(actor, "github-app:update")
    await GitHubApp.filter(id=app.id).update(sealed_old_webhook_secret=None)
    await app.refresh_from_db()


def webhook_secrets(app: GitHubApp) -> list[Secret[str]]:
    """Those that may sign a delivery, the newest first."""
    sealed = (app.sealed_webhook_secret, app.sealed_old_webhook_secret)
    return [_opened(app, value) for value in sealed if value]


def client_secret(app: GitHubApp) -> Secret[str] | None:
    """With which people sign in through the app; None if it was registered without."""
    return _opened(app, app.sealed_client_secret) if app.sealed_client_secret else None


def private_key(app: GitHubApp) -> Secret[str]:
    return _opened(app, app.sealed_private_key)


def webhook_url(app: GitHubApp) -> str:
    """Where GitHub sends its deliveries; no secret is in it."""
    return webhook_url_of(app.id)


def webhook_url_of(app_id: str) -> str:
    """Likewise of an app that is only being made, by our id."""
    return settings.current().webhook_url + links.github_webhook(app_id)


def settings_url(web_url: str, owner: str) -> str:
    """Where at GitHub the apps of *owner* are, an organization, or those of whoever looks if that is empty."""
    between = f"/organizations/{quote(owner, safe='')}" if owner else ""
    return f"{web_url}{between}/settings/apps"


def is_hosted(web_url: str) -> bool:
    """Whether GitHub runs it, and not a company its own."""
    host = urlsplit(web_url).netloc
    return host == "github.com" or host.endswith(".ghe.com")


def hosts_of(web_url: str) -> Hosts:
    """The addresses of github.com, of a company's ghe.com, or of an Enterprise Server (`github-app.md` §1.6)."""
    try:
        parts = urlsplit(web_url.strip().rstrip("/"))
        host, _ = parts.netloc.lower(), parts.port
    except ValueError:
        raise _no_host() from None
    if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host) or parts.path or parts.query:
        raise _no_host()
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1"):
        raise Invalid("GitHub is spoken to over https only: the app's tokens go there.", field="web_url")
    web = f"{parts.scheme}://{host}"
    if is_hosted(web):
        return Hosts(web, f"https://api.{host}")
    return Hosts(web, f"{web}/api/v3")


def _no_host() -> Invalid:
    return Invalid(
        "This is the address of a GitHub: https://github.com, https://COMPANY.ghe.com, or https:// and the name of an"
        " Enterprise Server.",
        field="web_url",
    )


def _check_private_key(key: Secret[str]) -> None:
    """PKCS#1 is what GitHub gives; PKCS#8 is the same key in another wrapping."""
    try:
        loaded = load_pem_private_key(key.reveal().strip().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, RSAPrivateKey):
        raise Invalid(
            "The private key is an RSA key without a passphrase, in PEM: the whole file that GitHub let you download,"
            " from -----BEGIN to -----END.",
            field="private_key",
        )


def _check_webhook_secret(secret: Secret[str]) -> None:
    if len(secret.reveal()) < LEAST_SECRET:
        raise Invalid(
            f"The webhook secret has at least {LEAST_SECRET} characters, since whoever guesses it can deliver what"
            " GitHub never sent.",
            field="webhook_secret",
        )


def _sealed(app: GitHubApp, secret: Secret[str]) -> bytes:
    return crypto.seal(secret.reveal().encode(), context=app.sealed_context)


def _opened(app: GitHubApp, sealed: bytes) -> Secret[str]:
    return Secret(crypto.open_sealed(bytes(sealed), context=app.sealed_context).decode())
