"""The token of one phase of one run: a cage.

It is checked against its open job on each use, so it dies the moment the phase ends.  Each use is a sign of
life of the job, which keeps an apply whose worker is lost from being given up while it still runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tortoise.expressions import F

from app import clock, ids
from app.access import credentials
from app.access.actors import Actor, RunClaims, of_run
from app.access.models import RunToken
from app.errors import Unauthenticated
from app.secret import Secret
from app.storage import crypto

_ENDED = (
    "This run token is unknown, or its phase has ended. A run's token works only while the plan or the apply it was"
    " made for is running."
)
#: A use raises the job's life at most this often; it is looked at every few seconds and judged after minutes.
_LIFE_EVERY_SECONDS = 10.0
_life_raised: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class RunTokenRoute:
    """A route a run token may call: *method*, and *pattern* as the route table writes it
    (``/api/v2/…/{id}``)."""

    method: str
    pattern: str


#: The whole of what a run may call; the API refuses any other route by name before it looks anything up.  The proxy of
#: the run's sandbox keeps a narrower list of its own.  Signed addresses (`app.http.signed_urls.PATH`) need no token.
RUN_TOKEN_ROUTES: tuple[RunTokenRoute, ...] = (
    RunTokenRoute("GET", "/.well-known/terraform.json"),
    RunTokenRoute("GET", "/api/v2/"),
    RunTokenRoute("GET", "/api/v2/ping"),
    RunTokenRoute("GET", "/api/v2/organizations/{organization}/entitlement-set"),
    RunTokenRoute("GET", "/api/v2/organizations/{organization}/workspaces/{name}"),
    RunTokenRoute("GET", "/api/v2/workspaces/{id}"),
    RunTokenRoute("POST", "/api/v2/workspaces/{id}/actions/lock"),
    RunTokenRoute("POST", "/api/v2/workspaces/{id}/actions/unlock"),
    RunTokenRoute("GET", "/api/v2/workspaces/{id}/current-state-version"),
    RunTokenRoute("GET", "/api/v2/workspaces/{id}/current-state-version-outputs"),
    RunTokenRoute("POST", "/api/v2/workspaces/{id}/state-versions"),
    RunTokenRoute("GET", "/api/v2/state-versions/{id}"),
    RunTokenRoute("GET", "/api/v2/state-versions/{id}/outputs"),
    RunTokenRoute("GET", "/api/v2/state-version-outputs/{id}"),
    RunTokenRoute("GET", "/api/registry/v1/modules/{namespace}/{name}/{system}/versions"),
    RunTokenRoute("GET", "/api/registry/v1/modules/{namespace}/{name}/{system}/{version}/download"),
    RunTokenRoute("GET", "/api/registry/v1/providers/{namespace}/{type}/versions"),
    RunTokenRoute("GET", "/api/registry/v1/providers/{namespace}/{type}/{version}/download/{os}/{arch}"),
)

_PARAMETER = re.compile(r"\{[^}]*\}")
_ALLOWED = frozenset((route.method, _PARAMETER.sub("{}", route.pattern)) for route in RUN_TOKEN_ROUTES)


def allows(method: str, pattern: str) -> bool:
    """Whether a run token may call the route that *pattern* of the route table names."""
    return (("GET" if method == "HEAD" else method), _PARAMETER.sub("{}", pattern)) in _ALLOWED


async def mint(job: Any, run: Any) -> Secret[str]:
    """A token for the phase that *job* carries out, under its present claim.  *run* must be the job's."""
    if job.run_id != run.id:
        raise ValueError(f"{job.id} does not carry out a phase of {run.id}")
    text = credentials.generate(credentials.Kind.RUN)
    await RunToken.create(
        id=ids.new("token"),
        job_id=job.id,
        claim=job.claim,
        digest=crypto.digest(text.reveal()),
        created_at=clock.now(),
    )
    return text


async def authenticate(text: str) -> Actor:
    """The run whose phase *text* speaks for.  Never cached: a token must be dead the moment its job is
    closed."""
    found = (
        await RunToken.filter(digest__in=crypto.digests(text))
        .limit(1)
        .values(
            "claim",
            job_id="job__id",
            job_claim="job__claim",
            phase="job__phase",
            closed_at="job__closed_at",
            worker_id="job__worker_id",
            organization_id="job__organization_id",
            run_id="job__run_id",
            workspace_id="job__run__workspace_id",
            is_restricted="job__run__is_restricted",
        )
    )
    if not found or not _speaks(found[0]):
        raise Unauthenticated(_ENDED)
    row = found[0]
    await _raise_life(row["job_id"])
    return of_run(
        RunClaims(
            run_id=row["run_id"],
            job_id=row["job_id"],
            phase=row["phase"],
            workspace_id=row["workspace_id"],
            organization_id=row["organization_id"],
            is_restricted=bool(row["is_restricted"]),
        )
    )


def _speaks(row: dict[str, Any]) -> bool:
    """A plan that was claimed again has another token.  An apply is never repeated: who claims it anew
    adopts the supervisor that runs it, and with it the token that supervisor holds."""
    if row["closed_at"] is not None:
        return False
    return row["phase"] == "apply" or (row["claim"] == row["job_claim"] and row["worker_id"] is not None)


async def _raise_life(job_id: str) -> None:
    now = clock.monotonic()
    if now - _life_raised.get(job_id, float("-inf")) < _LIFE_EVERY_SECONDS:
        return
    for old in [known for known, at in _life_raised.items() if now - at >= _LIFE_EVERY_SECONDS]:
        del _life_raised[old]
    _life_raised[job_id] = now
    # Jobs lie above access, so the model is asked for by relation and not imported.
    jobs: Any = RunToken._meta.fields_map["job"].related_model  # type: ignore[attr-defined]
    await jobs.filter(id=job_id, closed_at=None).update(life=F("life") + 1)
