"""Plans nobody can apply that no longer say what would happen: the state they were made with, or the branch that their
pull request goes into, has moved on.

Computed where it is shown, for one run or for a page of them in one query, and stored nowhere: neither a run nor a
check at GitHub is written anew because others moved.  A push is noticed when it was handled.  Source: `github-app.md`
§4.5 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.runs import lifecycle
from app.runs.models import Run
from app.runs.statuses import Row
from app.storage import database
from app.vcs.heads import Kind

#: Of each of some runs: the states' serials then and now.  If it planned the newest commit of a pull request that is
#: open, also the branch that its workspace follows, where that was found elsewhere than the pull request's base stood,
#: and after the commit was fetched: GitHub may tell a base that is older than the branch until something is pushed.
_NOW = f"""
SELECT run.id, run.input_state_version_id, workspace.current_state_version_id, planned.serial AS serial_then,
       present.serial AS serial_now, ingress.base_sha, head.ref AS branch, head.sha AS branch_sha
FROM runs run
JOIN workspaces workspace ON workspace.id = run.workspace_id
LEFT JOIN state_versions planned ON planned.id = run.input_state_version_id
LEFT JOIN state_versions present ON present.id = workspace.current_state_version_id
LEFT JOIN ingress_attributes ingress ON ingress.configuration_version_id = run.configuration_version_id
LEFT JOIN configuration_versions version ON version.id = ingress.configuration_version_id
LEFT JOIN vcs_connections connection ON connection.workspace_id = run.workspace_id
LEFT JOIN github_repositories repository ON repository.id = connection.repository_id
LEFT JOIN vcs_heads pull ON pull.workspace_id = run.workspace_id AND pull.repository_id = repository.id
      AND pull.kind = '{Kind.PULL}' AND pull.ref = CAST(ingress.pull_request_number AS VARCHAR(255))
      AND pull.sha = ingress.commit_sha AND pull.closed_at IS NULL
LEFT JOIN vcs_heads head ON head.workspace_id = pull.workspace_id AND head.repository_id = pull.repository_id
      AND head.kind = '{Kind.BRANCH}' AND head.ref = COALESCE(NULLIF(connection.branch, ''), repository.default_branch)
      AND head.sha <> ingress.base_sha AND head.decided_at > version.created_at
WHERE run.id IN ({{}})
"""


#: What spares most finished plans that question, where a run (``it``) is read alone: whether its state moved, or its
#: commit may be a pull request's.
MAY_BE = """
(SELECT COALESCE(workspace.current_state_version_id, '') <> COALESCE(it.input_state_version_id, '')
 FROM workspaces workspace WHERE workspace.id = it.workspace_id)
OR EXISTS (SELECT 1 FROM ingress_attributes ingress
           WHERE ingress.configuration_version_id = it.configuration_version_id)
"""


class Cause(StrEnum):
    STATE = "state"
    BASE = "base"


#: What pages show in place of the status.
BADGE = Row("Outdated", "wait", "discarded")


@dataclass(frozen=True, slots=True)
class Outdated:
    """Words for machines, and sentences for people: why, and what to do."""

    causes: tuple[Cause, ...]
    sentence: str
    remedy: str

    @property
    def is_cured_by_planning_again(self) -> bool:
        """A retry plans the same commit: it sees today's state, not another base."""
        return Cause.STATE in self.causes


async def of(runs: Sequence[Run]) -> dict[str, Outdated]:
    """Which of *runs* are outdated, by their ids.  Nothing is asked where none of them is a finished plan-only run."""
    ids = [run.id for run in runs if lifecycle.is_plan_for_good(run) and run.may_be_outdated]
    if not ids:
        return {}
    rows = await database.client().execute_query_dict(_NOW.format(database.marks(len(ids))), ids)
    found = {row["id"]: _judge(row) for row in rows}
    return {id: outdated for id, outdated in found.items() if outdated is not None}


def state_moved(serial_then: int | None, serial_now: int | None) -> str:
    """That the state is another than a plan was made with, as a sentence without its full stop."""
    was = f"serial {serial_then}" if serial_then is not None else "no state"
    now = serial_now if serial_now is not None else "none"
    return f"The state has moved since this plan was made, from {was} to serial {now}"


def _judge(row: dict[str, Any]) -> Outdated | None:
    causes, sentences, remedies = [], [], []
    if row["input_state_version_id"] != row["current_state_version_id"]:
        causes.append(Cause.STATE)
        sentences.append(f"{state_moved(row['serial_then'], row['serial_now'])}.")
        remedies.append("Plan again to see what it comes to now.")
    if row["branch"] is not None:
        causes.append(Cause.BASE)
        branch, then, now = row["branch"], row["base_sha"][:7], row["branch_sha"][:7]
        sentences.append(f"The plan is for a merge into {then}, and {branch} has moved on to {now}.")
        remedies.append(
            f"Bring the pull request's branch up to date with {branch}: the new commit is planned by itself."
        )
    return Outdated(tuple(causes), " ".join(sentences), " ".join(remedies)) if causes else None
