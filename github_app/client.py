"""Calls to a GitHub as one of our apps: signed, within its limits, and judged here.

githubkit carries them, with everything of it switched off that loses an answer, repeats a call or shares a token
between hosts: its retries, cache, redirects, token cache and typed models (`github-app.md` of the protocol notes, traps
T2 to T16).  It is imported when the first call is made, because it costs 40 MB.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import msgspec
import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app import clock
from app.errors import StateroomError, Unavailable
from app.secret import Secret
from github_app import apps, limits
from github_app.models import GitHubApp

if TYPE_CHECKING:
    import httpx
    from githubkit import GitHub

log = structlog.get_logger(__name__)
Body = TypeVar("Body")

#: GitHub.com and the Enterprise Servers of today both speak it; githubkit's own default is refused by the latter (T6).
API_VERSION = "2022-11-28"
#: Seconds: to connect, between two bytes, and for a whole call.
CONNECT, SILENCE, PATIENCE = 10, 20, 60
#: A token is not used in its last minutes: a call that began with it could outlive it.
MARGIN = timedelta(minutes=5)
#: GitHub takes nothing issued in its future, nor what ends more than ten minutes ahead.
JWT_LIFE, JWT_BACKDATED = timedelta(minutes=9), timedelta(minutes=1)
#: `Date` has whole seconds and took its time.
SLACK = timedelta(seconds=5)


class Unreachable(Unavailable):
    """GitHub could not be asked, or did not answer to the end: try again, at *not_before* if that is given."""

    def __init__(self, sentence: str, *, not_before: datetime | None = None) -> None:
        super().__init__(sentence)
        self.not_before = not_before


class Refused(StateroomError):
    """GitHub's answer is no, and will be no again.  `message` is GitHub's own first sentence."""

    def __init__(self, status: int, message: str, *, sentence: str = "") -> None:
        super().__init__(sentence or f"GitHub refused it ({status}): {message}")
        self.status, self.message = status, message


class NoToken(Refused):
    """GitHub gives no token for the installation: it is suspended (403) or gone (404), or was never granted what was
    asked (422)."""


@dataclass(frozen=True, slots=True)
class Call:
    """`path` begins with a slash and belongs to the REST API, or to GitHub's pages; `body` becomes JSON.  `called` is
    what sentences and logs say instead of a path that holds a secret.

    Raises `Refused` where a part of the path is `.` or `..`: a name in it would make it another question.
    """

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    called: str = ""
    on_web: bool = False

    def __post_init__(self) -> None:
        if not {".", ".."}.isdisjoint(self.path.split("/")):
            raise Refused(404, "no such path", sentence=f"GitHub was not asked {self}, whose path leads elsewhere.")

    def __str__(self) -> str:
        return f"{self.method} {self.called or self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What GitHub said, whatever it was; only failures of GitHub's and its limits are raised instead."""

    call: Call
    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, model: type[Body]) -> Body:
        """The body as *model*.  Raises Unreachable where it was cut, `Refused` where the answer was no."""
        if self.status >= 300:
            raise self.refusal()
        try:
            return msgspec.json.decode(self.body, type=model)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unreachable(f"GitHub's answer to {self.call} could not be read: {error}.") from None

    def refusal(self) -> Refused:
        return Refused(
            self.status, self.message, sentence=f"GitHub answered {self.status} to {self.call}: {self.message}"
        )

    @property
    def message(self) -> str:
        """The sentence of an error, its first detail behind it."""
        try:
            said = json.loads(self.body)
        except ValueError:
            return "no reason was given"
        if not isinstance(said, dict):
            return "no reason was given"
        details = said.get("errors")
        first = details[0] if isinstance(details, list) and details else None
        detail = first.get("message") if isinstance(first, dict) else first
        return ": ".join(str(part)[:300] for part in (said.get("message"), detail) if part) or "no reason was given"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token may do: *permissions* are pairs of name and level; without *repositories* it is for all."""

    installation: int
    permissions: tuple[tuple[str, str], ...] = ()
    repositories: tuple[int, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        asked: dict[str, Any] = {}
        if self.permissions:
            asked["permissions"] = dict(self.permissions)
        if self.repositories:
            asked["repository_ids"] = list(self.repositories)
        return asked


@dataclass(frozen=True, slots=True)
class Token:
    secret: Secret[str]
    expires_at: datetime

    @property
    def is_good(self) -> bool:
        return clock.now() < self.expires_at - MARGIN


class _Minted(msgspec.Struct):
    token: str
    expires_at: str


class Client:
    """The calls of one app.  There is one of it a process, since it holds the connections, the tokens and what is known
    of the limits."""

    def __init__(self, app: GitHubApp) -> None:
        self.app = app
        self._key: RSAPrivateKey | None = None
        self._github: GitHub | None = None
        self._connection: httpx.AsyncClient | None = None
        self._tokens: dict[Grant, Token] = {}
        self._minting: dict[Grant, asyncio.Lock] = {}
        self._limits: dict[int, limits.Seen] = {}

    async def as_app(self, call: Call) -> Answer:
        """Ask as the app itself, which GitHub wants for what concerns the app and its installations."""
        answer = await self._send(call, f"Bearer {self._jwt()}", of=0)
        if answer.status == 401 or (answer.status == 404 and answer.message == "Integration not found"):
            raise self._refused_jwt(answer)
        return answer

    async def as_installation(self, grant: Grant, call: Call) -> Answer:
        """Ask with a token of *grant*'s.  One that GitHub knows no more is minted again, once."""
        token = await self.token(grant)
        answer = await self._send(call, f"token {token.reveal()}", of=grant.installation)
        if answer.status != 401:
            return answer
        self.forget(grant, token)
        again = await self.token(grant)
        return await self._send(call, f"token {again.reveal()}", of=grant.installation)

    async def with_token(self, token: Secret[str], call: Call) -> Answer:
        """Ask with a token that is not ours to renew."""
        return await self._send(call, f"token {token.reveal()}", of=0)

    async def without_token(self, call: Call) -> Answer:
        return await self._send(call, None, of=0)

    async def token(self, grant: Grant) -> Secret[str]:
        """One that is good for some minutes; callers at the same time share one call."""
        async with self._minting.setdefault(grant, asyncio.Lock()):
            token = self._tokens.get(grant)
            if token is None or not token.is_good:
                token = self._tokens[grant] = await self.mint(grant)
            return token.secret

    async def mint(self, grant: Grant) -> Token:
        """A token of its own, which nobody else is given."""
        path = f"/app/installations/{grant.installation}/access_tokens"
        answer = await self.as_app(Call("POST", path, body=grant.body))
        if answer.status >= 300:
            raise NoToken(answer.status, answer.message, sentence=answer.refusal().sentence)
        minted = answer.read(_Minted)
        return Token(Secret(minted.token), _moment(minted.expires_at))

    def forget(self, grant: Grant, token: Secret[str]) -> None:
        """Drop *token*, unless another has taken its place already."""
        kept = self._tokens.get(grant)
        if kept is not None and kept.secret == token:
            del self._tokens[grant]

    def forget_installation(self, number: int) -> None:
        """Drop what was minted for it, since its owner has changed what it may do."""
        for grant in [grant for grant in self._tokens if grant.installation == number]:
            del self._tokens[grant]

    def budget(self, installation: int) -> limits.Budget | None:
        """What GitHub said last that is left of the hour's calls."""
        seen = self._limits.get(installation)
        return seen.budget if seen else None

    async def close(self) -> None:
        connection, self._github, self._connection = self._connection, None, None
        if connection is not None:
            await connection.aclose()

    # -- one call --------------------------------------------------------------------------------------------

    async def _send(self, call: Call, authorization: str | None, *, of: int) -> Answer:
        """*of* is the installation whose limits it counts against, 0 for the app's own."""
        seen = self._limits.setdefault(of, limits.Seen())
        if wait := seen.limited_until():
            raise _limited(wait)
        answer = await self._transmit(call, authorization)
        if wait := seen.note(answer.status, answer.headers, answer.message if answer.status in (403, 429) else ""):
            log.warning("GitHub limits us", app=self.app.id, installation=of, call=str(call), until=wait.isoformat())
            raise _limited(wait)
        if answer.status >= 500:
            raise Unreachable(f"GitHub answered {answer.status} to {call}.")
        return answer

    async def _transmit(self, call: Call, authorization: str | None) -> Answer:
        from githubkit.exception import RequestError

        base = self.app.web_url if call.on_web else self.app.api_url
        headers = {"Accept": "application/json"} if call.on_web else {"X-GitHub-Api-Version": API_VERSION}
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            async with asyncio.timeout(PATIENCE):
                response = await self._connected().arequest(
                    call.method, base + call.path, params=dict(call.query), json=call.body, headers=headers
                )
        except TimeoutError:
            raise Unreachable(f"GitHub did not answer {call} within {PATIENCE} seconds.") from None
        except RequestError as error:  # its text may hold the whole request, so only the kind is told
            raise Unreachable(f"{base} could not be asked: {type(error.exc).__name__} at {call}.") from None
        return Answer(call, response.status_code, response.headers, response.content)

    def _connected(self) -> GitHub:
        if self._github is None:
            self._github, self._connection = _carrier(self.app.api_url)
        return self._github

    # -- the app's own proof ---------------------------------------------------------------------------------

    def _jwt(self) -> str:
        if self._key is None:
            self._key = _loaded(apps.private_key(self.app))
        now = clock.now()
        claims = {
            "iss": str(self.app.app_id),
            "iat": int((now - JWT_BACKDATED).timestamp()),
            "exp": int((now + JWT_LIFE).timestamp()),
        }
        text = b".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        signature = self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return (text + b"." + _encoded(signature)).decode()

    def _refused_jwt(self, answer: Answer) -> StateroomError:
        skew = clock_skew(answer.headers)
        if skew is not None and (skew > JWT_BACKDATED - SLACK or -skew > JWT_LIFE - SLACK):
            seconds = round(abs(skew).total_seconds())
            log.error("the clock of this machine differs from GitHub's", app=self.app.id, seconds=seconds)
            return Unreachable(
                f"GitHub refuses what the app signs, because this machine's clock is {seconds} seconds"
                f" {'ahead of' if skew > timedelta() else 'behind'} GitHub's. Set it right (NTP); it is tried again."
            )
        return Refused(
            answer.status,
            answer.message,
            sentence=f"GitHub does not take what the app {self.app.app_id} signs ({answer.message}): the app or its"
            " private key was deleted at GitHub, or the key belongs to another app.",
        )


def clock_skew(headers: Mapping[str, str]) -> timedelta | None:
    """How far our clock is ahead of the server's, by the answer's `Date`; whole seconds."""
    try:
        theirs = parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return clock.now() - theirs if theirs.tzinfo else None


# -- one client an app -------------------------------------------------------------------------------------------

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Client]] = WeakKeyDictionary()


async def of(app_id: str) -> Client:
    """The client of an app of ours, by our id.  A changed key or address makes a new one."""
    app = await apps.find(app_id)
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    known = clients.get(app.id)
    if known is not None and _same(known.app, app):
        return known
    clients[app.id] = client = Client(app)
    if known is not None:
        await known.close()
    return client


async def close() -> None:
    """Let go of every connection; called once before the process ends."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()


def _same(one: GitHubApp, other: GitHubApp) -> bool:
    told = [(app.api_url, app.app_id, bytes(app.sealed_private_key)) for app in (one, other)]
    return told[0] == told[1]


# -- githubkit, tamed --------------------------------------------------------------------------------------------


def _carrier(api_url: str) -> tuple[GitHub, httpx.AsyncClient]:
    """githubkit over one long-lived connection pool (T14), which leaves the judging of answers to us (T7, T8)."""
    import httpx
    from githubkit import GitHub
    from githubkit.cache import MemCacheStrategy

    class Carrier(GitHub):
        @asynccontextmanager
        async def get_async_client(self) -> AsyncIterator[httpx.AsyncClient]:
            yield connection

        def _check_is_error(self, response: httpx.Response) -> bool:
            return False

        def _check_rate_limit(self, response: Any) -> None:
            pass

    carrier = Carrier(
        base_url=api_url,
        user_agent="stateroom",
        timeout=httpx.Timeout(SILENCE, connect=CONNECT),
        follow_redirects=False,
        http_cache=False,
        auto_retry=False,
        cache_strategy=MemCacheStrategy(),
    )
    connection = httpx.AsyncClient(**carrier._get_client_defaults())
    return carrier, connection


def _limited(wait: datetime) -> Unreachable:
    return Unreachable(f"GitHub's limits let nothing through before {clock.wire(wait)}.", not_before=wait)


def _moment(text: str) -> datetime:
    """Whatever fraction of a second it has (T4)."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Unreachable(f"GitHub's token says of its end {text[:40]!r}, which is no time.") from None
    if moment.tzinfo is None:
        raise Unreachable(f"GitHub's token says of its end {text[:40]!r}, without a zone.")
    return moment


def _loaded(key: Secret[str]) -> RSAPrivateKey:
    loaded = load_pem_private_key(key.reveal().strip().encode(), password=None)
    assert isinstance(loaded, RSAPrivateKey)  # as `apps.register` made sure
    return loaded


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
