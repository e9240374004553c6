"""What stands between an app and its work: asked of GitHub, told with the remedy of each.

`stateroom doctor github` prints it, and the app's page shows it.  What GitHub says of the app is kept on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import quote

import msgspec

from app import clock, links, settings
from app.errors import StateroomError
from app.vcs.models import Connection, Installation
from app.wording import counted
from github_app import apps, at_github, client, manifest, needs, payloads
from github_app.client import Answer, Call, Client, Grant
from github_app.models import DeliveryLook, GitHubApp

#: What a clock may differ before it is worth a word; GitHub takes what is signed up to a minute ahead.
CLOCKS_AGREE = timedelta(seconds=20)
PAGE = 100
Verdict = Literal["ok", "note", "failed"]
Look = Callable[[GitHubApp, Client], "AsyncIterator[Finding]"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`failed` is what keeps the app from its work, `note` what one should know."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str | None = None


class _Installed(msgspec.Struct):
    id: int
    account: payloads.Account | None = None
    html_url: str = ""
    repository_selection: str = "selected"
    permissions: dict[str, str] = {}
    suspended_at: str | None = None


class _Seen(msgspec.Struct):
    total_count: int = 0


async def examine(app: GitHubApp) -> list[Finding]:
    """Every look, in order; none after GitHub refused the key or did not answer."""
    try:
        ours = await client.of(app.id)
        answer = await ours.as_app(Call("GET", "/app"))
        told = answer.read(payloads.App)
    except StateroomError as error:
        return [Finding("key", "failed", error.sentence, _remedy_of_key(app))]
    await apps.learn(app, told)
    found = [Finding("key", "ok", f"{_host(app)} takes what the app {app.app_id} signs; it is called {app.slug}")]
    found += [_clock(answer), *_permissions(app), *_events(app)]
    found += await _looked("webhook", _webhook, app, ours)
    found += await _looked("installed", _installations, app, ours)
    return found


async def _looked(subject: str, look: Look, app: GitHubApp, ours: Client) -> list[Finding]:
    found: list[Finding] = []
    try:
        async for finding in look(app, ours):
            found.append(finding)
    except StateroomError as error:
        found.append(Finding(subject, "failed", error.sentence))
    return found


def _remedy_of_key(app: GitHubApp) -> str:
    return (
        f"If the key is wrong, make another on {_settings(app)} under “Private keys” and enter it on {_page(app)}; if"
        f" {_host(app)} did not answer, let this machine reach {app.api_url}."
    )


def _clock(answer: Answer) -> Finding:
    skew = client.clock_skew(answer.headers)
    if skew is None:
        return Finding("clock", "note", "GitHub's answer has no date, so clocks cannot be compared")
    seconds = round(skew.total_seconds())
    if abs(skew) <= CLOCKS_AGREE:
        return Finding("clock", "ok", f"within {CLOCKS_AGREE.seconds} s of GitHub's")
    text = f"This machine's clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} GitHub's."
    remedy = "Let the machine keep its time (systemd-timesyncd, chrony): GitHub refuses what is signed in its future."
    return Finding("clock", "note", text, remedy)


def _permissions(app: GitHubApp) -> list[Finding]:
    missing = needs.missing_permissions(app.permissions)
    remedy = (
        f"Grant it on {_settings(app)}/permissions, then let the owner of each installation accept it: GitHub asks them"
        " by mail and on the installation's page."
    )
    return [
        Finding(
            "permission",
            "failed" if one.is_vital else "note",
            f"{one.name}: {one.level} is missing, so {one.without}.",
            remedy,
        )
        for one in missing
    ] or [Finding("permission", "ok", ", ".join(f"{one.name}: {one.level}" for one in needs.PERMISSIONS))]


def _events(app: GitHubApp) -> list[Finding]:
    missing = needs.missing_events(app.events)
    remedy = f"Subscribe to it on {_settings(app)}/permissions, at the end of the page."
    return [
        Finding("event", "note", f"{one.name} is not subscribed to, so {one.without}.", remedy) for one in missing
    ] or [Finding("event", "ok", ", ".join(one.name for one in needs.EVENTS))]


async def _webhook(app: GitHubApp, ours: Client) -> AsyncIterator[Finding]:
    hook, wanted = await at_github.hook(app), apps.webhook_url(app)
    page = _page(app)
    problems = []
    if hook.url != wanted:
        problems.append(f"delivers to {hook.url or 'nowhere'} and not to {wanted}")
    if hook.content_type != "json":
        problems.append(f"sends {hook.content_type} and not JSON")
    if not hook.secret or not app.is_secret_told:
        problems.append("does not sign with our webhook secret")
    if problems:
        remedy = f"Press “Make a new one and tell GitHub” (or “Tell GitHub the secret”) on {page}: it sets all of it."
        yield Finding("webhook", "failed", f"{_host(app)} {' and '.join(problems)}.", remedy)
    else:
        yield Finding("webhook", "ok", f"{_host(app)} delivers to {wanted}")
    problem = manifest.unreachable(app.web_url)
    look = await DeliveryLook.filter(app_id=app.id, unreached_at__not_isnull=True).first()
    remedy = f"Look at what became of them on {_settings(app)}/advanced: a firewall, a certificate, another secret."
    if look is not None and look.unreached_at is not None:
        since = f"None arrives since {clock.wire(look.unreached_at)} ({look.trouble}); they are fetched every minute."
        yield Finding("deliveries", "note", since, remedy)
    elif app.heard_at is not None:
        yield Finding("deliveries", "ok", f"the first good one came {clock.wire(app.heard_at)}")
    elif problem:
        late = "Or leave it: what GitHub could not deliver is fetched from its log, a minute late."
        yield Finding("deliveries", "note", problem, late)
    else:
        yield Finding("deliveries", "note", "None has come yet that was signed as it should be.", remedy)


async def _installations(app: GitHubApp, ours: Client) -> AsyncIterator[Finding]:
    seen = set()
    async for there in _installed(ours):
        seen.add(there.id)
        yield await _installation(app, there)
        if there.suspended_at is None:
            for finding in await _looked("limits", _limits_of(there), app, ours):
                yield finding
    if not seen:
        install = f"Install it: {app.html_url}/installations/new"
        yield Finding("installed", "failed", "The app is installed nowhere, so it sees no repository.", install)
    async for known in Installation.filter(app_id=app.id, deleted_at=None).exclude(number__in=seen):
        text = f"{known.account_login}: GitHub knows this installation no more, so nothing comes from it."
        yield Finding("installed", "note", text, "Install the app there again, and connect its workspaces anew.")


async def _installation(app: GitHubApp, there: _Installed) -> Finding:
    name = there.account.login if there.account else str(there.id)
    known = await Installation.get_or_none(app_id=app.id, number=there.id).prefetch_related("links__organization")
    if there.suspended_at is not None:
        text = f"{name}: suspended since {there.suspended_at}, so nothing can be asked or told."
        return Finding("installed", "failed", text, f"Its owner lifts that on {there.html_url}.")
    missing = [one for one in needs.missing_permissions(there.permissions) if one.is_granted(app.permissions)]
    if missing:
        lacks = ", ".join(f"{one.name}: {one.level}" for one in missing)
        text = f"{name}: its owner has not accepted {lacks} yet, so {missing[0].without}."
        return Finding("installed", "note", text, f"They do on {there.html_url}.")
    page = _page(app)
    if known is None:
        return Finding("installed", "note", f"{name}: not known here yet.", f"Open {page}, and link it.")
    organizations = sorted(link.organization.name for link in known.links)
    if not organizations:
        return Finding("installed", "note", f"{name}: no organization here may use it.", f"Link it to one on {page}.")
    connected = await Connection.filter(repository__installation_id=known.id).count()
    followed = counted(connected, "connected workspace")
    return Finding("installed", "ok", f"{name}: used by {', '.join(organizations)}, {followed}")


def _limits_of(there: _Installed) -> Look:
    name = there.account.login if there.account else str(there.id)

    async def limits(app: GitHubApp, ours: Client) -> AsyncIterator[Finding]:
        call = Call("GET", "/installation/repositories", {"per_page": 1})
        seen = (await ours.as_installation(Grant(there.id), call)).read(_Seen)
        selection = "all repositories" if there.repository_selection == "all" else "selected repositories"
        text = f"{name}: sees {seen.total_count} ({selection})"
        budget = ours.budget(there.id)
        if budget is None:
            yield Finding("limits", "ok", f"{text}; this GitHub sets no limits")
            return
        text += f"; {budget.remaining} of {budget.limit} calls are left until {clock.wire(budget.resets_at)}"
        remedy = "What nobody waits for is put off. Fewer workspaces a repository, or GitHub Enterprise Cloud, help."
        yield Finding("limits", "note", text, remedy) if budget.is_scarce else Finding("limits", "ok", text)

    return limits


async def _installed(ours: Client) -> AsyncIterator[_Installed]:
    number = 1
    while True:
        answer = await ours.as_app(Call("GET", "/app/installations", {"per_page": PAGE, "page": number}))
        for one in answer.read(list[_Installed]):
            yield one
        if 'rel="next"' not in answer.headers.get("link", ""):
            return
        number += 1


def _host(app: GitHubApp) -> str:
    return app.web_url.partition("://")[2]


def _page(app: GitHubApp) -> str:
    return settings.current().external_url + links.github_app(app.id)


def _settings(app: GitHubApp) -> str:
    return f"{apps.settings_url(app.web_url, app.owner)}/{quote(app.slug)}"
