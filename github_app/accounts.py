"""Who a user of ours is at GitHub: shown by signing in there, through one of our apps.

The code that comes back with the browser is exchanged for a user's token, which is asked two questions and forgotten:
who this is, and which installations they see.  Source: `github-app.md` §1.4 of the protocol notes.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from urllib.parse import urlencode

import msgspec
import structlog
from tortoise.exceptions import IntegrityError

from app import clock
from app.access.actors import Actor
from app.errors import Conflict, Forbidden, Invalid
from app.secret import Secret
from app.storage.database import in_transaction
from github_app import app_api, apps, client, payloads
from github_app.client import Call, Client
from github_app.models import GitHubApp, LinkedAccount

log = structlog.get_logger(__name__)

#: GitHub's codes and tokens are shorter by far.
LONGEST_CODE = 512
_OURS = object()


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody has shown by signing in at GitHub: the account, and the installations it sees, by GitHub's
    numbers.  `prove` alone makes one; it is as good as the request it was made in, and is kept nowhere."""

    app_id: str
    user_id: str
    number: int
    login: str
    installations: frozenset[int]
    maker: InitVar[object]

    def __post_init__(self, maker: object) -> None:
        if maker is not _OURS:
            raise TypeError("A proof is made by asking GitHub.")


class _Exchanged(msgspec.Struct):
    """GitHub answers 200 also to a code that it does not take."""

    access_token: str = ""
    error: str = ""
    error_description: str = ""


class _Installations(msgspec.Struct):
    installations: list[payloads.InstallationRef]


def authorization_url(app: GitHubApp, *, state: str, redirect_uri: str, challenge: str) -> str:
    """Where the browser goes to sign in at GitHub.  *challenge* is of the verifier that `prove` is given (S256), and
    *state* is what the page that GitHub comes back to compares with the session."""
    query = {
        "client_id": app.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "allow_signup": "false",
    }
    return f"{app.web_url}/login/oauth/authorize?{urlencode(query)}"


async def prove(actor: Actor, app: GitHubApp, code: str, *, redirect_uri: str, verifier: str) -> Proof:
    """Who *actor* is at GitHub, by the *code* that GitHub sent the browser back with.

    Whoever calls it has made sure that the code belongs to this session.  Raises Invalid for a code that GitHub does
    not take (used, too old, of another app), Unreachable where GitHub does not answer.
    """
    user_id = _user(actor)
    ours = await client.of(app.id)
    token = await _exchange(ours, app, code, redirect_uri=redirect_uri, verifier=verifier)
    account = (await ours.with_token(token, Call("GET", "/user"))).read(payloads.Account)
    pages = app_api.pages(lambda call: ours.with_token(token, call), "/user/installations", _Installations)
    seen = frozenset([one.id async for page in pages for one in page.installations])
    if not account.id or not account.login:
        raise Invalid("GitHub did not say whose account this is. Sign in there again.", field="code")
    return Proof(app.id, user_id, account.id, account.login, seen, _OURS)


async def link(actor: Actor, proof: Proof) -> LinkedAccount:
    """Let the account of *proof* be *actor*'s.  It is one user's alone: the last who proved it."""
    user_id = _user(actor)
    _check_owner(actor, proof)
    linked = LinkedAccount(app_id=proof.app_id, user_id=user_id, number=proof.number, login=proof.login)
    linked.linked_at = clock.now()
    try:
        async with in_transaction():
            await LinkedAccount.filter(app_id=proof.app_id, user_id=user_id).delete()
            await LinkedAccount.filter(app_id=proof.app_id, number=proof.number).delete()
            await linked.save(force_create=True)
    except IntegrityError:
        raise Conflict("The account was linked at the same time. Look which is linked, and try again.") from None
    log.info("a GitHub account was linked", user=user_id, app=proof.app_id, login=proof.login)
    return linked


async def unlink(actor: Actor, app_id: str) -> None:
    """Forget *actor*'s account at the app's GitHub.  Nothing is told to GitHub: its settings revoke the app."""
    await LinkedAccount.filter(app_id=app_id, user_id=_user(actor)).delete()


async def of(actor: Actor) -> list[LinkedAccount]:
    """*actor*'s own accounts, one an app."""
    return await LinkedAccount.filter(user_id=_user(actor)).order_by("app_id")


def check(actor: Actor, proof: Proof, app_id: str) -> None:
    """Raise Forbidden for a proof that somebody else gave, or of an account at another GitHub."""
    _check_owner(actor, proof)
    if proof.app_id != app_id:
        raise Forbidden("You have signed in at another GitHub than the one this installation is at.")


def _check_owner(actor: Actor, proof: Proof) -> None:
    if proof.user_id != actor.id:
        raise Forbidden("Somebody else has signed in at GitHub. Sign in there yourself.")


def _user(actor: Actor) -> str:
    if actor.id is None:
        raise Forbidden("Only people have accounts at GitHub.")
    return actor.id


async def _exchange(ours: Client, app: GitHubApp, code: str, *, redirect_uri: str, verifier: str) -> Secret[str]:
    secret = apps.client_secret(app)
    if secret is None or not app.client_id:
        raise Invalid(
            "Nobody can sign in through this GitHub App: its client id or client secret is not known here. A site admin"
            " registers them.",
            field="app",
        )
    if not 0 < len(code) <= LONGEST_CODE:
        raise _no_code("GitHub sent no code.")
    body = {
        "client_id": app.client_id,
        "client_secret": secret.reveal(),
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    call = Call("POST", "/login/oauth/access_token", body=body, on_web=True)
    told = (await ours.without_token(call)).read(_Exchanged)
    if not told.access_token:
        raise _no_code(f"GitHub does not take the code ({(told.error_description or told.error)[:300]}).")
    return Secret(told.access_token)


def _no_code(why: str) -> Invalid:
    return Invalid(f"{why} Sign in at GitHub again: a code is good once, for ten minutes.", field="code")
