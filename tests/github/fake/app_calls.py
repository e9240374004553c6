"""What an app asks about itself and its installations, and a user about theirs."""

from __future__ import annotations

from tests.github import openapi
from tests.github.fake import access, documents
from tests.github.fake.access import Said
from tests.github.fake.calls import ANYBODY, APP, INSTALLATION, USER, Call, Reply, answers, not_found
from tests.github.fake.world import Delivery, Installation


@answers("GET /app", APP)
def show_app(call: Call) -> Reply:
    return Reply(200, documents.app(call.by))


@answers("GET /app/hook/config", APP)
def show_hook(call: Call) -> Reply:
    example = openapi.example("GET /app/hook/config")
    return Reply(200, {**example, "content_type": "json", "url": call.by.webhook_url, "secret": "********"})


@answers("PATCH /app/hook/config", APP)
def change_hook(call: Call) -> Reply:
    call.by.webhook_url = call.body.get("url", call.by.webhook_url)
    call.by.webhook_secret = call.body.get("secret", call.by.webhook_secret)
    return show_hook(call)


@answers("GET /app/hook/deliveries", APP)
def list_deliveries(call: Call) -> Reply:
    """The newest first; the cursor is the number of the first that a page does not have."""
    newest = sorted(call.by.deliveries, key=lambda one: -one.number)
    if "cursor" in call.query:
        newest = [one for one in newest if one.number <= int(call.query["cursor"])]
    size = min(int(call.query.get("per_page", 30)), 100)
    headers = {}
    if len(newest) > size:
        onward = f"{call.github.url}/api/v3{call.path}?per_page={size}&cursor={newest[size].number}"
        headers["link"] = f'<{onward}>; rel="next"'
    return Reply(200, [documents.delivery(one) for one in newest[:size]], headers)


@answers("GET /app/hook/deliveries/{delivery_id}", APP)
def show_delivery(call: Call) -> Reply:
    return Reply(200, documents.delivery(_delivery(call), whole=True))


@answers("POST /app/hook/deliveries/{delivery_id}/attempts", APP)
def redeliver(call: Call) -> Reply:
    first = _delivery(call)
    again = Delivery(
        next(call.github.numbers),
        first.guid,
        first.event,
        first.body,
        first.headers,
        call.github.now(),
        redelivery=True,
    )
    call.by.attempt(again)
    return Reply(202, {})


@answers("GET /app/installations", APP)
def list_installations(call: Call) -> Reply:
    """GitHub's description has each account be a user and an enterprise in one, here alone; we read neither's."""
    shown, headers = call.page([documents.installation(one) for one in _installations(call)])
    for one in shown:
        name = one["account"]["login"]
        one["account"] |= {"name": name, "slug": name, "created_at": None, "updated_at": None}
    return Reply(200, shown, headers)


@answers("GET /app/installations/{installation_id}", APP)
def show_installation(call: Call) -> Reply:
    return Reply(200, documents.installation(_installation(call)))


@answers("POST /app/installations/{installation_id}/access_tokens", APP)
def mint(call: Call) -> Reply:
    installation = _installation(call)
    if installation.suspended_at is not None:
        raise Said(403, "This installation has been suspended")
    token = access.mint(call.github, installation, call.body or {})
    told = {
        "token": token.text,
        "expires_at": token.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "permissions": token.permissions,
        "repository_selection": "all" if token.repositories is None else "selected",
    }
    return Reply(201, told)


@answers("DELETE /installation/token", INSTALLATION)
def revoke(call: Call) -> Reply:
    assert call.token is not None
    call.token.revoked = True
    return Reply(204)


@answers("GET /installation/repositories", INSTALLATION)
def list_repositories(call: Call) -> Reply:
    token = call.token
    assert token is not None
    seen = [one for one in call.installation.repositories.values() if token.sees(one.number)]
    shown, headers = call.page([documents.repository(one) for one in seen])
    told = {"total_count": len(seen), "repository_selection": call.installation.selection, "repositories": shown}
    return Reply(200, told, headers)


@answers("GET /user/installations", USER)
def list_installations_of_user(call: Call) -> Reply:
    """A user sees those of their own account and of the organizations they are in."""
    assert call.user is not None
    user, members = call.user.account, call.github.members
    there = [one for one in call.github.installations.values() if one.app is call.user.app and not one.deleted]
    seen = [one for one in there if one.account is user or user.login in members.get(one.account.login, ())]
    shown, headers = call.page([documents.installation(one) for one in seen])
    return Reply(200, {"total_count": len(seen), "installations": shown}, headers)


@answers("GET /user", USER)
def show_user(call: Call) -> Reply:
    assert call.user is not None
    return Reply(200, documents.account(call.github, call.user.account, documents.user()))


@answers("POST /app-manifests/{code}/conversions", ANYBODY)
def convert(call: Call) -> Reply:
    """A code is good once."""
    app = call.github.conversions.pop(call.params["code"], None)
    if app is None:
        raise not_found()
    told = {
        **openapi.example("POST /app-manifests/{code}/conversions"),
        **documents.app(app),
        "client_secret": app.client_secret,
        "webhook_secret": app.webhook_secret or None,
        "pem": app.private_key,
    }
    return Reply(201, told)


def _installations(call: Call) -> list[Installation]:
    return [one for one in call.github.installations.values() if one.app is call.by and not one.deleted]


def _installation(call: Call) -> Installation:
    number = int(call.params["installation_id"])
    for installation in _installations(call):
        if installation.number == number:
            return installation
    raise not_found()


def _delivery(call: Call) -> Delivery:
    for one in call.by.deliveries:
        if one.number == int(call.params["delivery_id"]):
            return one
    raise not_found()
