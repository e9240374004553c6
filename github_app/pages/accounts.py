"""One's own accounts at GitHub: linked by signing in there, which also proves which installations one may speak for."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from app import links, organizations
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.http.routing import Route
from app.organizations.models import Organization
from app.vcs.models import Installation, InstallationLink
from app.web import visitors
from app.web.answers import page, to
from github_app import accounts, apps, authorizing, installations, linking
from github_app.accounts import Proof
from github_app.authorizing import Begun
from github_app.client import Refused
from github_app.models import GitHubApp

ONE = f"{links.GITHUB_ACCOUNTS}/{{app}}"
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


async def index(request: Request) -> Response:
    """GET /app/settings/github"""
    return await _index(request)


async def begin(request: Request) -> Response:
    """POST /app/settings/github/{app}/link: a page that goes on to GitHub.

    It is a page because Chromium lets no form of ours end anywhere else, redirects included.
    """
    visitor, sent = visitors.visitor(request), await visitors.form(request)
    app = await apps.find(request.path_params["app"])
    wanted, number = sent.get("organization", ""), None
    organization = await organizations.find(visitor.actor, wanted) if wanted else None
    try:
        if organization is not None:
            number = await _number(app, sent)
        address = await authorizing.begin(visitor.session, app, installation_number=number, organization=organization)
    except Invalid as problem:
        return await _index(request, 422, problem, sent)
    return page(request, "github_app/going.html", address=address, host=app.web_url.partition("://")[2])


async def come_back(request: Request) -> Response:
    """GET /auth/github/callback: who signed in at GitHub comes back, and so does who installed an app there."""
    visitor, told = visitors.visitor(request), request.query_params
    begun = await authorizing.take_back(visitor.session, told.get("state", ""))
    if begun is None:
        if "installation_id" in told or "setup_action" in told:  # its code is not needed: nothing trusts that address
            kept = {name: told[name] for name in ("installation_id", "setup_action", "state") if name in told}
            return to(f"{links.GITHUB_SETUP}?{urlencode(kept)}")
        raise Conflict("This belongs to no sign-in that was begun here within the last hour, or it was used already.")
    if "error" in told:
        raise Forbidden("GitHub says that the sign-in was refused there, so nothing was linked.")
    app = await apps.find(begun.row.app_id)
    try:
        proof = await accounts.prove(
            visitor.actor,
            app,
            told.get("code", ""),
            redirect_uri=authorizing.redirect_uri(),
            verifier=begun.verifier,
        )
        await accounts.link(visitor.actor, proof)
        if begun.row.organization_id:
            await _link(request, app, begun, proof)
    except Refused as error:
        raise Conflict(error.sentence) from error
    return to(links.GITHUB_ACCOUNTS)


async def ask_unlink(request: Request) -> Response:
    """GET /app/settings/github/{app}/unlink"""
    app = await apps.find(request.path_params["app"])
    return page(
        request,
        "ask.html",
        question=f"Unlink your account at {app.web_url.partition('://')[2]}?",
        sentences=[
            "The buttons of checks do nothing for you then. GitHub’s own settings revoke what you let the app do."
        ],
        action=f"{links.GITHUB_ACCOUNTS}/{app.id}/unlink",
        comment="none",
        button="Unlink",
        button_class="btn-danger",
        back=links.GITHUB_ACCOUNTS,
        back_label="Keep it",
    )


async def unlink(request: Request) -> Response:
    """POST /app/settings/github/{app}/unlink"""
    app = await apps.find(request.path_params["app"])
    await accounts.unlink(visitors.actor(request), app.id)
    return to(links.GITHUB_ACCOUNTS)


async def ask_remove(request: Request) -> Response:
    """GET /app/settings/github/links/{link}/remove"""
    link = await _find_link(request)
    name, account = link.organization.name, link.installation.account_login
    return page(
        request,
        "ask.html",
        question=f"Let {name} use the repositories of {account} no more?",
        sentences=["Workspaces that follow one of them have to be disconnected first."],
        action=f"{links.GITHUB_ACCOUNTS}/links/{link.id}/remove",
        comment="none",
        button="Remove",
        button_class="btn-danger",
        back=_behind(request, link),
        back_label="Keep it",
    )


async def remove(request: Request) -> Response:
    """POST /app/settings/github/links/{link}/remove"""
    link = await _find_link(request)
    await linking.unlink(visitors.actor(request), link.installation, link.organization)
    return to(_behind(request, link))


async def _index(
    request: Request, status: int = 200, problem: Invalid | None = None, form: dict[str, str] | None = None
) -> Response:
    actor = visitors.actor(request)
    own = organizations.visible(actor)
    ids = await own.values_list("id", flat=True)
    used = InstallationLink.filter(organization_id__in=ids, installation__deleted_at=None)
    return page(
        request,
        "github_app/accounts.html",
        status,
        apps=await apps.for_signing_in(),
        linked={one.app_id: one for one in await accounts.of(actor)},
        organizations=await own.order_by("name"),
        used=await used.select_related("installation", "organization").order_by("organization__name", "id"),
        problem=problem,
        form={"account": "", "organization": ""} | (form or {}),
    )


async def _number(app: GitHubApp, sent: dict[str, str]) -> int:
    """The installation that a form means, by its number or by the account's name: 0 if there is none of that name,
    which is told to nobody before they have proved that they would see it."""
    if "installation" in sent:
        return int(sent["installation"]) if _NUMBER.fullmatch(sent["installation"]) else 0
    account = sent.get("account", "").strip()
    if not account or len(account) > 128:
        raise Invalid(
            "This is the account at GitHub where the app is installed: acme in github.com/acme.", field="account"
        )
    there = await Installation.filter(app_id=app.id, account_login__iexact=account, deleted_at=None).first()
    return there.number if there else 0


async def _link(request: Request, app: GitHubApp, begun: Begun, proof: Proof) -> None:
    """Let the organization that was chosen use the installation that was chosen, if *proof* lists it."""
    actor, number = visitors.actor(request), begun.row.installation_number or 0
    organization: Organization | None = await organizations.visible(actor).get_or_none(id=begun.row.organization_id)
    if organization is None:
        raise NotFound("The organization is not there any more, or not yours.")
    installation = await installations.look(app, number) if number in proof.installations else None
    if installation is None:
        raise Forbidden(
            f"At GitHub {proof.login} sees no such installation of the app, so {organization.name} may not use it. Your"
            " account is linked now. Is the app installed there, and are you a member of that account?"
        )
    await linking.link(actor, installation, organization, proof)


async def _find_link(request: Request) -> InstallationLink:
    actor, told = visitors.actor(request), request.path_params["link"]
    found = InstallationLink.filter(id=int(told) if len(told) < 10 and _NUMBER.fullmatch(told) else 0)
    if not actor.is_site_admin:
        found = found.filter(organization_id__in=await organizations.visible(actor).values_list("id", flat=True))
    link = await found.select_related("installation", "organization").first()
    if link is None:
        raise NotFound("There is no such link, or you may not see it.")
    return link


def _behind(request: Request, link: InstallationLink) -> str:
    if visitors.actor(request).is_site_admin:
        return links.github_app(link.installation.app_id)
    return links.GITHUB_ACCOUNTS


routes = [
    Route(links.GITHUB_ACCOUNTS, visitors.signed_in(index)),
    Route(f"{ONE}/link", visitors.signed_in(begin), ["POST"]),
    Route(f"{ONE}/unlink", visitors.signed_in(ask_unlink)),
    Route(f"{ONE}/unlink", visitors.signed_in(unlink), ["POST"]),
    Route(f"{links.GITHUB_ACCOUNTS}/links/{{link}}/remove", visitors.signed_in(ask_remove)),
    Route(f"{links.GITHUB_ACCOUNTS}/links/{{link}}/remove", visitors.signed_in(remove), ["POST"]),
    Route(links.GITHUB_CALLBACK, visitors.signed_in(come_back)),
]
