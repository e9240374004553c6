"""The code that GitHub gave for an app just made, exchanged for the app's key and secrets: that works once."""

from __future__ import annotations

from urllib.parse import quote

import structlog
from tortoise.exceptions import BaseORMException
from tortoise.transactions import in_transaction

from app.access.actors import Actor
from app.errors import StateroomError
from app.secret import Secret
from github_app import apps, at_github, payloads
from github_app.client import Call, Client
from github_app.models import GitHubApp, GitHubAppSetup

log = structlog.get_logger(__name__)


class _Converted(payloads.App):
    """`webhook_secret` may be null."""

    pem: str = ""
    client_secret: str = ""
    webhook_secret: str | None = None


class NotConverted(StateroomError):
    """There may be an app at GitHub whose key nobody has: it has to be deleted there."""


async def convert(actor: Actor, setup: GitHubAppSetup, code: str) -> GitHubApp:
    """The app that *code* stands for, stored with its secrets in one transaction.

    An app that GitHub made without a webhook secret gets one, which GitHub is told afterwards; until then none of its
    deliveries is taken, since none is signed.  Raises `NotConverted`.
    """
    told = await _exchanged(setup, code)
    webhook, client = told.webhook_secret, told.client_secret
    secrets = apps.Secrets(
        private_key=Secret(told.pem),
        webhook=Secret(webhook) if webhook else apps.new_webhook_secret(),
        client=Secret(client) if client else None,
    )
    try:
        async with in_transaction():
            app = await apps.register(
                actor,
                app_id=told.id,
                secrets=secrets,
                web_url=setup.web_url,
                id=setup.id,
                is_secret_told=bool(webhook),
            )
            await apps.learn(app, told)
    except StateroomError as error:
        raise _not_stored(error.sentence) from error
    except (BaseORMException, OSError) as error:
        log.exception("an app that GitHub made could not be stored", app_id=told.id)
        raise _not_stored("the database did not take it.") from error
    if not webhook:
        await _tell_secret(actor, app)
    return app


def _not_stored(why: str) -> NotConverted:
    return NotConverted(f"The app was made at GitHub, and could not be stored here: {why}")


async def _tell_secret(actor: Actor, app: GitHubApp) -> None:
    try:
        await at_github.tell_webhook_secret(actor, app)
    except StateroomError as error:  # the app's page says that it is owed, and has the button
        log.warning("GitHub was not told the webhook secret", app=app.id, why=error.sentence)


async def _exchanged(setup: GitHubAppSetup, code: str) -> _Converted:
    asking = Client(GitHubApp(id=setup.id, web_url=setup.web_url, api_url=apps.hosts_of(setup.web_url).api))
    call = Call("POST", f"/app-manifests/{quote(code, safe='')}/conversions", called="/app-manifests/…/conversions")
    try:
        answer = await asking.without_token(call)
        if answer.status == 404:
            raise NotConverted(
                "GitHub does not know the code that came with you: it was used already, or is older than an hour."
            )
        return answer.read(_Converted)
    except NotConverted:
        raise
    except StateroomError as error:
        raise NotConverted(f"GitHub did not hand over the app's key: {error.sentence}") from error
    finally:
        await asking.close()
