"""API tokens of people, and who a token speaks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tortoise.expressions import Q

from app import clock, ids
from app.access import credentials, run_tokens
from app.access.actors import Actor, Kind
from app.access.models import Membership, Token, User
from app.errors import Forbidden, Invalid, NotFound, Unauthenticated
from app.secret import Secret
from app.storage import crypto

#: How long a token that was good is believed without asking again.  A revocation through this process is
#: felt at once, through another one within this time.
BELIEVED_SECONDS = 1.0
_USE_NOTED_EVERY = timedelta(minutes=1)
_MOST_KNOWN = 10_000

_MALFORMED = "This is not one of our tokens, or part of it was lost on the way. Copy it again, or create another."
_UNKNOWN = "This token is unknown or was revoked. Create another one and give it to your client."
_EXPIRED = "This token has expired. Create another one and give it to your client."

_known: dict[str, tuple[Actor, float]] = {}


async def authenticate(text: str) -> Actor:
    """Who *text* speaks for.  Raises Unauthenticated with a sentence that tells what is wrong with it."""
    key = crypto.digest(text)
    known = _known.get(key)
    if known is not None and clock.monotonic() - known[1] < BELIEVED_SECONDS:
        return known[0]
    kind = credentials.kind_of(text)
    if kind is None:
        raise Unauthenticated(_MALFORMED)
    if kind is credentials.Kind.RUN:
        return await run_tokens.authenticate(text)
    asked_at = clock.monotonic()
    actor = await _look_up(text)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[key] = (actor, asked_at)
    return actor


async def create(
    actor: Actor, user: User, description: str = "", expires_at: datetime | None = None
) -> tuple[Token, Secret[str]]:
    """Make a token of *user*.  The text is told here and never again."""
    _require_own(actor, user.id)
    if len(description) > 255:
        raise Invalid("The description of a token has at most 255 characters.", field="description")
    expires_at = _in_the_future(expires_at)
    text = credentials.generate(credentials.Kind.USER)
    token = await Token.create(
        id=ids.new("token"),
        user_id=user.id,
        digest=crypto.digest(text.reveal()),
        prefix=credentials.public_part(text),
        description=description,
        created_at=clock.now(),
        expires_at=expires_at,
    )
    return token, text


async def of(actor: Actor, user_id: str) -> list[Token]:
    """The tokens of that user; those of somebody else are none."""
    if actor.kind is not Kind.SYSTEM and actor.id != user_id:
        return []
    return await Token.filter(user_id=user_id).order_by("created_at", "id")


async def find(actor: Actor, token_id: str) -> Token:
    mine = Q() if actor.kind is Kind.SYSTEM else Q(user_id=actor.id)
    token = await Token.filter(mine).get_or_none(id=token_id)
    if token is None:
        raise NotFound("There is no such token, or it is not yours.")
    return token


async def revoke(actor: Actor, token: Token) -> None:
    """End *token*: the next request that carries it is refused."""
    _require_own(actor, token.user_id)
    await Token.filter(id=token.id).delete()
    forget_known()


def forget_known() -> None:
    """Ask the database about each token again: something about a person or a token has changed."""
    _known.clear()


async def actor_of(user: User) -> Actor:
    """*user* as one who acts."""
    entered = Membership.filter(user_id=user.id, organization__deleted_at=None)
    organization_ids = await entered.values_list("organization_id", flat=True)
    return Actor(
        Kind.USER,
        user.username,
        id=user.id,
        is_site_admin=user.is_site_admin,
        organization_ids=frozenset(map(str, organization_ids)),
    )


async def _look_up(text: str) -> Actor:
    token = await Token.filter(digest__in=crypto.digests(text)).select_related("user").first()
    if token is None:
        raise Unauthenticated(_UNKNOWN)
    now = clock.now()
    if token.expires_at is not None and token.expires_at <= now:
        raise Unauthenticated(_EXPIRED)
    if token.last_used_at is None or now - token.last_used_at > _USE_NOTED_EVERY:
        await Token.filter(id=token.id).update(last_used_at=now)
    return await actor_of(token.user)


def _in_the_future(moment: datetime | None) -> datetime | None:
    """*moment* in UTC, which one without a zone is taken to be in."""
    if moment is None:
        return None
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        moment = clock.now()
    if moment <= clock.now():
        raise Invalid("A token must expire in the future, or never (null).", field="expired_at")
    return moment


def _require_own(actor: Actor, user_id: str) -> None:
    if actor.kind is not Kind.SYSTEM and actor.id != user_id:
        raise Forbidden("Tokens are made and revoked by the user they belong to.", permission="token:create")
