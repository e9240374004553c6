"""What the database says in a quiet moment."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.simulation.database import Looks

_QUERIES = {
    "runs": "SELECT * FROM runs",
    "jobs": "SELECT * FROM jobs",
    "workspaces": "SELECT id, organization_id, name, locked_by_run_id, locked_by_user_id, current_state_version_id,"
    " deleted_at FROM workspaces",
    "events": "SELECT id, run_id, number, action, status, announced_at FROM run_events ORDER BY run_id, number",
    "versions": "SELECT id, workspace_id, run_id, status, intermediate, md5, serial, created_by_id FROM state_versions",
    "lines": "SELECT organization_id, priority, served FROM lines",
    "counters": "SELECT name, value FROM counters",
    "plans": "SELECT id, run_id, log_length, log_closed_at, log_ended FROM plans",
    "applies": "SELECT a.id, a.run_id, a.log_length, a.log_closed_at, a.log_ended, o.md5 AS errored FROM applies a"
    " LEFT JOIN stored_objects o ON o.id = a.errored_state_id",
}


class Row(SimpleNamespace):
    """A row as the product's pure functions want it."""


@dataclass
class Sight:
    runs: dict[str, Row] = field(default_factory=dict)
    jobs: dict[str, Row] = field(default_factory=dict)
    workspaces: dict[str, Row] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    versions: dict[str, Row] = field(default_factory=dict)
    lines: list[Row] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    phases: dict[str, Row] = field(default_factory=dict)


async def look(looks: Looks) -> Sight:
    found = {name: [_row(row) for row in rows] for name, rows in (await looks.rows(_QUERIES)).items()}
    return Sight(
        runs={row.id: row for row in found["runs"]},
        jobs={row.id: row for row in found["jobs"]},
        workspaces={row.id: row for row in found["workspaces"]},
        events=found["events"],
        versions={row.id: row for row in found["versions"]},
        lines=found["lines"],
        counters={row.name: row.value for row in found["counters"]},
        phases={row.id: row for row in (*found["plans"], *found["applies"])},
    )


def _row(values: dict[str, Any]) -> Row:
    stamps = values.get("status_timestamps")
    if isinstance(stamps, str):
        values["status_timestamps"] = json.loads(stamps)
    return Row(**values)
