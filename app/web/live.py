"""A run's page as it changes: one event stream with pieces of the page and lines of its logs.

A message's id says how far its reader has seen everything, so one that lost the connection goes on there, without a gap
and without a line twice.  While nothing happens a stream holds no connection to the database.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app import clock, runs
from app.access import sessions, tokens
from app.errors import NotFound, Unavailable
from app.http.routing import Endpoint
from app.runs import logs
from app.runs.models import Run, RunEvent
from app.web import answers, run_view
from app.web.answers import render
from app.web.log_lines import Position, Reader
from app.web.run_view import RunView
from app.web.visitors import Visitor, signed_in

#: Between two messages at least.
PAUSE = 0.1
#: How often the database is asked whether the run moved in another process.
LOOK_EVERY = 2.0
#: A sign of life, for whoever ends connections that are silent.
COMMENT_EVERY = 15.0
#: How often session and right are asked for again.
ASK_EVERY = 30.0
#: Bytes of log taken at once, and lines of it in one message; of more, the last ones.
MOST_BYTES = 512 * 1024
MOST_LINES = 1000

#: The pieces of the page that are sent anew when they differ, beside the heads of the stages.
PIECES = {
    "#status": "runs/_status.html",
    "#notice": "runs/_notice.html",
    "#stage-queue": "runs/_queue.html",
    "#facts": "runs/_facts.html",
    "#timeline": "runs/_timeline.html",
    "#actions": "runs/_actions.html",
}

_ENDED = "event: ended\ndata:\n\n"
_ID = re.compile(r"([0-9]{1,9})~([pa]{0,2})~([0-9a-z.]*)~([0-9a-z.]*)")
_LETTERS = {"plan": "p", "apply": "a"}


@dataclass(slots=True)
class Seen:
    """How far a reader has seen a run: the number of its events, which logs have their place on the page, and how far
    each was read."""

    events: int = 0
    shown: set[str] = field(default_factory=set)
    logs: dict[str, Position] = field(default_factory=lambda: {"plan": Position(), "apply": Position()})

    def __str__(self) -> str:
        shown = "".join(letter for name, letter in _LETTERS.items() if name in self.shown)
        return f"{self.events}~{shown}~{self.logs['plan']}~{self.logs['apply']}"

    @classmethod
    def parse(cls, text: str) -> Seen | None:
        found = _ID.fullmatch(text)
        plan, apply = (Position.parse(found[3]), Position.parse(found[4])) if found else (None, None)
        if found is None or plan is None or apply is None:
            return None
        shown = {name for name, letter in _LETTERS.items() if letter in found[2]}
        return cls(int(found[1]), shown, {"plan": plan, "apply": apply})


def following(view: RunView, positions: dict[str, Position]) -> str:
    """From where a stream goes on after a page that shows *view* and its logs up to *positions*."""
    seen = Seen(view.run.event_count, set(positions))
    seen.logs |= positions
    return str(seen)


def asked_from(request: Request) -> Seen:
    """Where the reader stopped: as it says after a lost connection, else as its page does."""
    said = request.headers.get("last-event-id") or request.query_params.get("from") or ""
    return Seen.parse(said) or Seen()


def guarded(endpoint: Endpoint) -> Endpoint:
    """*endpoint*, a stream, for those who are signed in.  To others the answer is a stream that has ended and says so:
    a page in its place would not be understood, and be asked for again and again."""
    asked = signed_in(endpoint)

    async def ask(request: Request) -> Response:
        answer = await asked(request)
        if answer.media_type == EventStream.media_type or answer.status_code >= 500:
            return answer
        return EventStream(_only(_GONE))

    ask.__name__, ask.__module__, ask.__doc__ = asked.__name__, asked.__module__, asked.__doc__
    return ask


class EventStream(StreamingResponse):
    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[str]) -> None:
        headers = {**answers.HEADERS, "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(content, headers=headers)


def stream(visitor: Visitor, view: RunView, seen: Seen) -> Response:
    return EventStream(Watching(visitor, view, seen).messages())


# Who is told at once: the streams of this process, of the moves that were made in it.

_waiting: dict[str, set[asyncio.Event]] = {}
_streams: set[Watching] = set()
_stopping = asyncio.Event()


def run_moved(event: RunEvent) -> None:
    """A listener of `events.run_moved`."""
    run: Run = event.run
    for news in _waiting.get(run.id, ()):
        news.set()


def open_streams() -> None:
    """Streams may begin; at the start of the process."""
    _stopping.clear()


def end_streams() -> None:
    """End every stream of this process: the server waits for them before it stops, and they never end by themselves."""
    _stopping.set()
    for watching in tuple(_streams):
        watching.news.set()


class Watching:
    """One reader of one run."""

    def __init__(self, visitor: Visitor, view: RunView, seen: Seen) -> None:
        self.news = asyncio.Event()
        self._visitor = visitor
        self._view = view
        self._seen = seen
        self._readers = {name: Reader(position) for name, position in seen.logs.items()}
        self._reading: asyncio.Task[bytes] | None = None
        self._is_open = {stage.name: stage.is_open for stage in view.stages}
        self._sent: dict[str, str] = {}
        self._spoke_at = self._asked_at = self._looked_at = clock.monotonic()

    async def messages(self) -> AsyncIterator[str]:
        run_id = self._view.run.id
        _waiting.setdefault(run_id, set()).add(self.news)
        _streams.add(self)
        try:
            async for message in self._messages():
                yield message
        finally:
            _streams.discard(self)
            _waiting[run_id].discard(self.news)
            if not _waiting[run_id]:
                del _waiting[run_id]
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.wait({self._reading})

    async def _messages(self) -> AsyncIterator[str]:
        if self._seen.events == self._view.run.event_count:
            self._changed()  # the page has these already
        yield self._message(self._pieces()) or ":\n\n"
        while not _stopping.is_set():
            try:
                lines = await self._news_and_lines()
            except NotFound:  # deleted, or out of sight
                yield _GONE
                return
            if _stopping.is_set():
                return
            if not await self._may_still_look():
                yield _GONE
                return
            said = self._message(self._pieces() + lines) + self._folds()
            if said:
                yield said
            if not self._view.is_live and self._followed() is None:
                yield _ENDED
                return
            if clock.monotonic() - self._spoke_at > COMMENT_EVERY:
                self._spoke_at = clock.monotonic()
                yield ":\n\n"
            await asyncio.sleep(PAUSE)

    def _followed(self) -> str | None:
        """The phase whose log is read now: the first that is not over."""
        names = (stage.name for stage in self._view.stages)
        return next((name for name in names if not self._readers[name].position.is_over), None)

    async def _news_and_lines(self) -> str:
        """Wait until the run moved, or the log has lines, or a while; look what there is."""
        name = self._followed()
        news = asyncio.ensure_future(self.news.wait())
        waits_for: set[asyncio.Future] = {news}
        if name is not None:
            self._reading = self._reading or asyncio.ensure_future(self._read(name))
            waits_for.add(self._reading)
        try:
            await asyncio.wait(waits_for, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        is_new = self.news.is_set()
        self.news.clear()
        lines = ""
        if name is not None and self._reading is not None and self._reading.done():
            data, self._reading = await self._reading, None
            is_new = is_new or name not in self._seen.shown
            lines = self._lines(name, data)
            is_new = is_new or self._readers[name].position.is_over
        if is_new or clock.monotonic() - self._looked_at > LOOK_EVERY:
            await self._look(even_unmoved=is_new)
        return lines

    async def _read(self, name: str) -> bytes:
        phase = self._view.plan if name == "plan" else self._view.apply
        try:
            return await logs.read(phase.id, self._readers[name].read_to, MOST_BYTES, hold=COMMENT_EVERY)
        except Unavailable:
            await asyncio.sleep(LOOK_EVERY)
            return b""

    def _lines(self, name: str, data: bytes) -> str:
        reader = self._readers[name]
        reader.add(data)
        left_out = reader.skip(MOST_LINES)
        lines = reader.lines(MOST_LINES + 1)
        if not lines and not left_out:
            return ""
        markup = render("runs/_new_lines.html", name=name, lines=lines, left_out=left_out, address=self._view.address)
        return _partial(f"#lines-{name}", markup, "beforeend")

    async def _look(self, *, even_unmoved: bool) -> None:
        """See how the run stands: all of it where something may have happened."""
        self._looked_at = clock.monotonic()
        view, actor = self._view, self._visitor.actor
        same = runs.visible(actor).filter(id=view.run.id, event_count=view.run.event_count)
        has_moved = not await same.exists()
        if has_moved or even_unmoved or view.waiting is not None or view.is_being_canceled:
            self._view = await run_view.gather(actor, await runs.find(actor, view.run.id))

    async def _may_still_look(self) -> bool:
        """Ask from time to time whether the session, and the right to see this, still hold."""
        now = clock.monotonic()
        if now - self._asked_at <= ASK_EVERY:
            return True
        self._asked_at = now
        session = self._visitor.session
        if not await sessions.holds(session.id):
            return False
        self._visitor = Visitor(await tokens.actor_of(session.user), session)
        return await runs.visible(self._visitor.actor).filter(id=self._view.run.id).exists()

    def _pieces(self) -> str:
        """Those pieces of the page that are not as they were sent before."""
        stages = [stage for stage in self._view.stages if stage.has_log and stage.name not in self._seen.shown]
        parts = []
        for stage in stages:
            self._seen.shown.add(stage.name)
            markup = render("runs/_stage.html", view=self._view, stage=stage, log=None)
            parts.append(_partial(f"#stage-{stage.name}", markup, "outerHTML"))
        changed = self._changed()
        if "#status" in changed:
            parts.append(render("runs/_title.html", view=self._view))
        return "".join([*parts, *(_partial(target, markup) for target, markup in changed.items())])

    def _changed(self) -> dict[str, str]:
        """The targets on the page whose markup differs from what they were last given."""
        view = self._view
        drawn = {target: render(template, view=view) for target, template in PIECES.items()}
        for piece in ("head", "foot"):
            template = f"runs/_{piece}.html"
            drawn |= {f"#{piece}-{s.name}": render(template, view=view, stage=s) for s in view.stages}
        changed = {target: markup for target, markup in drawn.items() if self._sent.get(target) != markup}
        self._sent |= changed
        return changed

    def _folds(self) -> str:
        """An event for each stage that has ended and may be folded."""
        now = {stage.name: stage.is_open for stage in self._view.stages}
        closed = [name for name, is_open in self._is_open.items() if is_open and not now[name]]
        self._is_open = now
        return "".join(f"event: folds\ndata: stage-{name}\n\n" for name in closed)

    def _message(self, parts: str) -> str:
        """The event, with the id that its reader comes back with."""
        if not parts:
            return ""
        self._spoke_at = clock.monotonic()
        self._seen.events = self._view.run.event_count
        data = "".join(f"data: {line}\n" for line in re.split(r"\r\n|\r|\n", parts))
        return f"id: {self._seen}\n{data}\n"


def _partial(target: str, markup: str, swap: str = "outerMorph") -> str:
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{markup}</hx-partial>'


_GONE = f"data: {_partial('#ended', render('runs/_gone.html').replace(chr(10), ' '), 'innerHTML')}\n\n{_ENDED}"


async def _only(message: str) -> AsyncIterator[str]:
    yield message
