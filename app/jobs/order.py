"""The order in which waiting jobs are claimed: the rule, and what it will come to.

What is waiting is read as *heads*, the first job of each line for each tool: one step through an index for each,
however many jobs stand behind it.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from app import clock, settings
from app.jobs import workers
from app.jobs.models import Counter, Job
from app.jobs.models import Line as LineRow
from app.organizations.models import Organization
from app.settings import Settings
from app.storage import database

#: Every so many claims the line that waited longest goes first, whatever its class.
TURN = 10
#: So far ahead the order is foretold.  Who waits further back is told that it is more.
HORIZON = 1000
#: A longer queue is looked at once a second by all who ask, not each time.
SHORT = 200
KEPT_SECONDS = 1.0

#: An organization and a priority.
Line = tuple[str, int]

_LAST = 2**63 - 1
_COLUMNS = "organization_id, priority, engine, terraform_version"
_WAITING = "closed_at IS NULL AND worker_id IS NULL"
#: A walk over the distinct values of an index's first columns, from each to the next.  SQLite compares a row with an
#: index only if what stands on the right is an expression; both would read all equals but for the last number, and
#: PostgreSQL the whole table for a join with what was found.
_HEADS = f"""
WITH RECURSIVE heads(number) AS (
    SELECT (SELECT number FROM jobs WHERE {_WAITING} ORDER BY {_COLUMNS}, number LIMIT 1)
    UNION ALL
    SELECT (
        SELECT later.number FROM jobs later
        WHERE later.closed_at IS NULL AND later.worker_id IS NULL
          AND (later.organization_id, later.priority, later.engine, later.terraform_version, later.number)
            > (head.organization_id || '', head.priority + 0, head.engine || '', head.terraform_version || '', {_LAST})
        ORDER BY later.organization_id, later.priority, later.engine, later.terraform_version, later.number LIMIT 1
    )
    FROM heads JOIN jobs head ON head.number = heads.number
)
SELECT
    (SELECT organization_id FROM jobs WHERE jobs.number = heads.number) AS organization_id,
    (SELECT priority FROM jobs WHERE jobs.number = heads.number) AS priority,
    (SELECT engine FROM jobs WHERE jobs.number = heads.number) AS engine,
    (SELECT terraform_version FROM jobs WHERE jobs.number = heads.number) AS terraform_version,
    number
FROM heads WHERE number IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The first waiting job of a line, of those that need *tool* (``"terraform/1.11.4"``)."""

    line: Line
    tool: str
    number: int


async def heads(tools: Collection[str]) -> list[Head]:
    """The heads that a worker with *tools* can carry out."""
    rows = await database.client().execute_query_dict(_HEADS)
    found = (
        Head(
            (row["organization_id"], row["priority"]),
            f"{row['engine']}/{row['terraform_version']}",
            row["number"],
        )
        for row in rows
    )
    return [head for head in found if head.tool in tools]


def firsts(found: Collection[Head]) -> dict[Line, int]:
    """The number of the first job of each line."""
    numbers: dict[Line, int] = {}
    for head in found:
        numbers[head.line] = min(head.number, numbers.get(head.line, head.number))
    return numbers


def next_line(waiting: Mapping[Line, int], served: Mapping[Line, int], running: Tally[str], turn: int) -> Line:
    """The rule itself: which line is next, of those with a job waiting."""
    if turn % TURN == 0:
        return min(waiting, key=lambda line: (served[line], waiting[line]))
    served_organization: dict[str, int] = {}
    for (organization, _), number in served.items():
        served_organization[organization] = max(number, served_organization.get(organization, 0))
    return min(
        waiting,
        key=lambda line: (line[1], running[line[0]], served_organization[line[0]], waiting[line]),
    )


async def running() -> Tally[str]:
    """How many jobs each organization runs: those whose lease lives."""
    held = Job.filter(closed_at=None, worker_id__isnull=False, lapsed=False)
    return Tally(await held.values_list("organization_id", flat=True))  # type: ignore[arg-type]


async def caps(organization_ids: Collection[str]) -> dict[str, int]:
    """The most jobs that organizations may run at a time, of those that have a limit."""
    default = settings.current().organization_cap
    found = Organization.filter(id__in=list(organization_ids))
    if default is None:
        found = found.filter(running_jobs_cap__isnull=False)
    rows = await found.values_list("id", "running_jobs_cap")
    return {str(id): own if own is not None else default for id, own in rows}  # type: ignore[misc]


def within(waiting: Mapping[Line, int], limits: Mapping[str, int], held: Tally[str]) -> dict[Line, int]:
    """Those lines whose organization may run another job."""
    return {line: first for line, first in waiting.items() if line[0] not in limits or held[line[0]] < limits[line[0]]}


# What it will come to


@dataclass(frozen=True, slots=True)
class Foretold:
    """The waiting jobs by number in the order in which free slots would take them, as far as the horizon."""

    numbers: tuple[int, ...]
    places: Mapping[int, int]
    made_at: float = 0.0

    def ahead_of(self, number: int) -> int | None:
        """How many jobs would be taken before; None if it is beyond the horizon, or may not be taken now."""
        return self.places.get(number)


_kept: tuple[Settings, Foretold] | None = None


async def foretell() -> Foretold:
    """What would be claimed next, and next, if slots became free and nothing else happened."""
    global _kept
    now, installation = clock.monotonic(), settings.current()
    if _kept is not None and _kept[0] is installation and 0 <= now - _kept[1].made_at < KEPT_SECONDS:
        return _kept[1]
    found = await _foretell(now)
    _kept = (installation, found) if len(found.numbers) > SHORT else None
    return found


async def _foretell(now: float) -> Foretold:
    tools = await workers.tools()
    found = await heads(tools)
    organizations = {head.line[0] for head in found}
    queues = await _queues(found)
    turn = await Counter.get_or_none(name="claims")
    lines = await LineRow.filter(organization_id__in=list(organizations))
    served = dict.fromkeys(queues, 0) | {(line.organization_id, line.priority): line.served for line in lines}
    order = _order(queues, served, await running(), await caps(organizations), turn.value if turn else 0)
    numbers = tuple(number for _, number in zip(range(HORIZON), order, strict=False))
    return Foretold(numbers, {number: place for place, number in enumerate(numbers)}, now)


async def _queues(found: Collection[Head]) -> dict[Line, deque[int]]:
    """The numbers of each line, first those that go first; no more of a line than are foretold."""
    tools: dict[Line, set[str]] = {}
    for head in found:
        tools.setdefault(head.line, set()).add(head.tool)
    return {line: deque(await _numbers(line, able)) for line, able in tools.items()}


async def _numbers(line: Line, tools: Collection[str]) -> list[int]:
    jobs = Job.filter(organization_id=line[0], priority=line[1], closed_at=None, worker_id=None)
    rows = await jobs.order_by("number").limit(HORIZON).values_list("number", "engine", "terraform_version")
    return [number for number, engine, version in rows if f"{engine}/{version}" in tools]


def _order(
    queues: dict[Line, deque[int]],
    served: dict[Line, int],
    held: Tally[str],
    limits: Mapping[str, int],
    turn: int,
) -> Iterator[int]:
    while waiting := within({line: queue[0] for line, queue in queues.items() if queue}, limits, held):
        turn += 1
        line = next_line(waiting, served, held, turn)
        yield queues[line].popleft()
        held[line[0]] += 1
        served[line] = turn
