"""What the workspaces that follow a repository make of a commit: a run each, or why not.

Pushes, pull requests and merge groups differ in how they come by the commit and by whom it concerns; from there on they
are one.  All of a repository's connections are looked at by its number, so a renamed one is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from app import configurations, runs
from app.access.actors import SYSTEM, Actor
from app.configurations.ingress import Ingress
from app.errors import Conflict, Invalid, StateroomError, Unavailable
from app.runs import RunOptions, lifecycle, moves
from app.runs.creation import create_within
from app.runs.models import Run
from app.storage.database import in_transaction
from app.vcs import heads
from app.vcs.filters import Watch
from app.vcs.heads import Outcome, Overtaken, Ref
from app.vcs.models import Connection, Head, Repository
from app.workspaces.models import Workspace
from github_app import fetch, payloads
from github_app.api import Api, Unreachable
from github_app.models import GitHubApp

log = structlog.get_logger(__name__)

SOURCE = "tfe-configuration-version"
REASON = "vcs"

#: Of a workspace without `queue-all-runs`: its variables may not be there yet.
FIRST_RUN = "Start its first run by hand: the workspace had none, and queue-all-runs is off."
#: All that a check says of a stranger's commit that could not be fetched: why could tell of what this server reaches.
UNTOLD = "The commit could not be fetched."


@dataclass(frozen=True, slots=True)
class Occasion:
    """A commit that a ref has come to.  *ingress* tells where it came from; *base_sha* is where a pull request's base
    stood."""

    repository: Repository
    ref: Ref
    sha: str
    ingress: Ingress
    speculative: bool
    base_sha: str | None = None
    delivery_id: str | None = None


@dataclass(frozen=True, slots=True)
class Concern:
    """A workspace that is to plan the commit, and why; *before* is what it handled last of the ref."""

    connection: Connection
    before: Head | None
    reason: str
    #: Who let a stranger's commit be planned.
    approved_by: Actor | None = None
    #: Whether it gets a run, or the commit's configuration only, for a run that a person starts.
    queues: bool = True

    @property
    def is_restricted(self) -> bool:
        """Whether a stranger wrote the commit."""
        return self.approved_by is not None

    @property
    def workspace(self) -> Workspace:
        return workspace_of(self.connection)


@dataclass
class Result:
    """What came of an occasion."""

    runs: list[Run] = field(default_factory=list)
    prepared: int = 0  # workspaces that got the configuration only
    unaffected: list[Workspace] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # sentences by the workspace's id

    def __str__(self) -> str:
        told = [f"{len(self.runs)} {'run' if len(self.runs) == 1 else 'runs'} queued"]
        if self.prepared:
            told.append(f"{self.prepared} waiting for a first run by hand")
        if self.unaffected:
            told.append(f"{len(self.unaffected)} not affected")
        told += sorted(set(self.failures.values()))
        return "; ".join(told).rstrip(".") + "."


async def repository_of(app: GitHubApp, told: payloads.Repository | None) -> Repository | None:
    """The repository a delivery is about, its installation loaded; None if nobody has connected it."""
    if told is None:
        return None
    return await Repository.filter(app_id=app.id, number=told.id).prefetch_related("installation").first()


async def connections_of(repository: Repository) -> list[Connection]:
    """Those of living workspaces, workspace and repository loaded, by the workspaces' names."""
    living = Connection.filter(repository_id=repository.id, workspace__deleted_at=None)
    return await living.order_by("workspace__name", "workspace_id").prefetch_related("workspace", "repository")


def workspace_of(connection: Connection) -> Workspace:
    """Loaded with the connection."""
    workspace: Workspace = connection.workspace
    return workspace


async def awaits_first_run(connection: Connection) -> bool:
    """Whether nothing of GitHub's starts a run or a plan here yet.  Plans that nobody can apply are no first run."""
    workspace = workspace_of(connection)
    if workspace.queue_all_runs:
        return False
    return not (workspace.run_count and await Run.filter(workspace_id=workspace.id, plan_only=False).exists())


def watch_of(connection: Connection) -> Watch:
    workspace = workspace_of(connection)
    return Watch(
        working_directory=workspace.working_directory,
        file_triggers_enabled=workspace.file_triggers_enabled,
        trigger_prefixes=tuple(workspace.trigger_prefixes),
        trigger_patterns=tuple(workspace.trigger_patterns),
        tags_regex=connection.tags_regex,
    )


async def pass_over(
    occasion: Occasion,
    connection: Connection,
    before: Head | None,
    reason: str,
    outcome: Outcome = Outcome.SKIPPED,
) -> None:
    """Write that the workspace makes no run of the commit, or none yet."""
    with suppress(Overtaken):
        async with in_transaction():
            await _handle(occasion, connection.workspace_id, before, reason, None)
            await _record(occasion, connection.workspace_id, outcome, reason)


async def plan(api: Api, occasion: Occasion, concerns: Sequence[Concern]) -> Result:
    """Queue a run in each workspace of *concerns*: the commit's files are fetched once for each organization.

    A run is made only once its archive is there.  What cannot be fetched or planned is told in the result; raises
    Unavailable if trying again may help, nothing lost and nothing done twice.  Of a stranger's commit neither says why
    it could not be fetched: that is for the workspaces' events and the log.
    """
    result = Result()
    for fetched, group in _fetches(concerns).items():
        try:
            files = await fetch.files_of(
                api,
                occasion.repository,
                occasion.sha,
                fetched.organization_id,
                submodules=fetched.submodules,
                restricted=fetched.restricted,
            )
        except Unavailable as error:
            if not fetched.restricted:
                raise
            log.warning("a stranger's commit could not be fetched", sha=occasion.sha, reason=error.sentence)
            raise _untold(error) from error
        except StateroomError as error:
            told = UNTOLD if fetched.restricted else error.sentence
            await _fail(occasion, group, result, error.sentence, told=told)
            continue
        for concern in group:
            await _plan_one(occasion, concern, files, result)
    return result


async def cancel(run_ids: Iterable[str], why: str) -> int:
    """Cancel those of the runs that have not ended; how many."""
    canceled = 0
    unended = Run.filter(id__in=list(run_ids), plan_only=True, status__in=lifecycle.GROUPS["non_final"])
    for run in await unended.order_by("workspace_id", "number"):
        with suppress(Conflict):  # it has ended meanwhile
            await runs.cancel(SYSTEM, run, comment=why)
            canceled += 1
    return canceled


def _untold(error: Unavailable) -> Unavailable:
    """*error* without its reason, but with the time that GitHub asked to wait for."""
    return Unreachable(UNTOLD, not_before=error.not_before) if isinstance(error, Unreachable) else Unavailable(UNTOLD)


@dataclass(frozen=True, slots=True)
class _Fetch:
    """What a fetch of the commit's files is for."""

    organization_id: str
    submodules: bool
    restricted: bool


def _fetches(concerns: Sequence[Concern]) -> dict[_Fetch, list[Concern]]:
    groups: dict[_Fetch, list[Concern]] = defaultdict(list)
    for concern in concerns:
        submodules = concern.connection.ingress_submodules
        groups[_Fetch(concern.workspace.organization_id, submodules, concern.is_restricted)].append(concern)
    return groups


async def _plan_one(occasion: Occasion, concern: Concern, files: fetch.Files, result: Result) -> None:
    workspace = concern.workspace
    directory = workspace.working_directory
    if not files.has_directory(directory):
        sentence = f"The working directory {directory} does not exist at {occasion.sha[:7]}."
        await _fail(occasion, [concern], result, sentence)
        return
    try:
        if concern.queues:
            result.runs.append(await _queue(occasion, concern, files))
        else:
            await _prepare(occasion, concern, files)
            result.prepared += 1
    except Overtaken:
        log.info("handled by another meanwhile", workspace=workspace.id, ref=str(occasion.ref), sha=occasion.sha)
    except (Conflict, Invalid) as error:
        await _fail(occasion, [concern], result, error.sentence)


async def _queue(occasion: Occasion, concern: Concern, files: fetch.Files) -> Run:
    """Configuration version, run and head, in one transaction."""
    workspace = concern.workspace
    options = RunOptions(
        message=occasion.ingress.commit_message or None,
        source=SOURCE,
        trigger_reason=REASON,
        restricted_by=concern.approved_by,
    )
    async with in_transaction():
        version = await configurations.create_from(
            files.stored, workspace, occasion.ingress, speculative=occasion.speculative
        )
        run, spoken = await create_within(SYSTEM, workspace, version, options)
        await _handle(occasion, workspace.id, concern.before, concern.reason, run.id)
        await _record(occasion, workspace.id, Outcome.RUN, concern.reason, run.id)
    await moves.announce(spoken)
    return run


async def _prepare(occasion: Occasion, concern: Concern, files: fetch.Files) -> None:
    """The configuration alone, as the workspace's current one."""
    workspace_id = concern.workspace.id
    async with in_transaction():
        await configurations.create_from(files.stored, concern.workspace, occasion.ingress, speculative=False)
        await _handle(occasion, workspace_id, concern.before, concern.reason, None)
        await _record(occasion, workspace_id, Outcome.WAITING, concern.reason)


async def _fail(
    occasion: Occasion, concerns: Sequence[Concern], result: Result, sentence: str, *, told: str | None = None
) -> None:
    """The head is left as it was, so that a replay of the delivery tries again.  *told* is what a check may say, if
    that is not *sentence*."""
    for concern in concerns:
        result.failures[concern.workspace.id] = told or sentence
        await _record(occasion, concern.workspace.id, Outcome.FAILED, sentence)


async def _handle(occasion: Occasion, workspace_id: str, before: Head | None, reason: str, run_id: str | None) -> None:
    await heads.handle(
        before,
        workspace_id=workspace_id,
        repository_id=occasion.repository.id,
        ref=occasion.ref,
        sha=occasion.sha,
        reason=reason,
        run_id=run_id,
        base_sha=occasion.base_sha,
    )


async def _record(
    occasion: Occasion, workspace_id: str, outcome: Outcome, reason: str, run_id: str | None = None
) -> None:
    await heads.record(
        workspace_id,
        occasion.ref,
        occasion.sha,
        outcome,
        reason,
        run_id=run_id,
        delivery_id=occasion.delivery_id,
    )
