"""An app of ours as GitHub has it: what it may do, where its deliveries go, and what signs them."""

from __future__ import annotations

import msgspec

from app.access.actors import Actor
from app.access.permissions import require_on_site
from app.errors import Invalid, StateroomError
from app.secret import Secret
from github_app import apps, client, payloads
from github_app.client import Call
from github_app.models import GitHubApp


class Hook(msgspec.Struct):
    """Where an app's deliveries go, as GitHub has it.  The secret is told as stars, or not at all if there is none."""

    url: str = ""
    content_type: str = "form"
    secret: str | None = None


async def ask(app: GitHubApp) -> payloads.App:
    """What GitHub knows of *app*, kept here too.  Raises `Refused` where GitHub does not take the app's key."""
    told = (await (await client.of(app.id)).as_app(Call("GET", "/app"))).read(payloads.App)
    await apps.learn(app, told)
    return told


async def hook(app: GitHubApp) -> Hook:
    return (await (await client.of(app.id)).as_app(Call("GET", "/app/hook/config"))).read(Hook)


async def change_private_key(actor: Actor, app: GitHubApp, key: Secret[str]) -> None:
    """Sign with *key* from now on, if GitHub takes it: it lets an app have several at a time."""
    await require_on_site(actor, "github-app:update")
    changed = apps.with_private_key(app, key)
    trying = client.Client(changed)
    try:
        told = (await trying.as_app(Call("GET", "/app"))).read(payloads.App)
    except StateroomError as error:
        raise Invalid(f"{error.sentence} The key that was here before is kept.", field="private_key") from error
    finally:
        await trying.close()
    if told.id != app.app_id:
        raise Invalid("GitHub says that this is the key of another app.", field="private_key")
    # With the old key its installations may not have been seen, so a worker looks again.
    await GitHubApp.filter(id=app.id).update(sealed_private_key=changed.sealed_private_key, refreshed_at=None)
    await app.refresh_from_db()


async def tell_webhook_secret(actor: Actor, app: GitHubApp) -> None:
    """Let GitHub sign with the newest webhook secret from now on, and deliver where we listen."""
    await require_on_site(actor, "github-app:update")
    secret = apps.webhook_secrets(app)[0].reveal()
    body = {"url": apps.webhook_url(app), "content_type": "json", "insecure_ssl": "0", "secret": secret}
    answer = await (await client.of(app.id)).as_app(Call("PATCH", "/app/hook/config", body=body))
    answer.read(Hook)
    await GitHubApp.filter(id=app.id).update(is_secret_told=True)
    app.is_secret_told = True
