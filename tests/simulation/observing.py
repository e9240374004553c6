"""What the database says in a quiet moment."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from tests.simulation.database import ANY, Looks

#: What is looked at, and the tables it is read from.
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
_TABLES = {name: frozenset(re.findall(r"(?:FROM|JOIN) (\w+)", query)) for name, query in _QUERIES.items()}


class Row(SimpleNamespace):
    """A row as the product's pure functions want it."""


@dataclass
class Sight:
    """One part is the same object as in the sight before if its tables were not written to."""

    runs: dict[str, Row] = field(default_factory=dict)
    jobs: dict[str, Row] = field(default_factory=dict)
    workspaces: dict[str, Row] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    versions: dict[str, Row] = field(default_factory=dict)
    lines: list[Row] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    plans: dict[str, Row] = field(default_factory=dict)
    applies: dict[str, Row] = field(default_factory=dict)
    phases: dict[str, Row] = field(default_factory=dict)


async def look(looks: Looks, before: Sight, changed: set[str]) -> Sight:
    """What is there, if it was *before* and only the tables *changed* were written to since."""
    queries = {name: query for name, query in _QUERIES.items() if ANY in changed or changed & _TABLES[name]}
    if not queries:
        return before
    found = {name: [_row(row) for row in rows] for name, rows in (await looks.rows(queries)).items()}
    now = replace(before)
    for name in ("runs", "jobs", "workspaces", "versions", "plans", "applies"):
        if name in found:
            setattr(now, name, {row.id: row for row in found[name]})
    now.events = found.get("events", now.events)
    now.lines = found.get("lines", now.lines)
    if "counters" in found:
        now.counters = {row.name: row.value for row in found["counters"]}
    if "plans" in found or "applies" in found:
        now.phases = now.plans | now.applies
    return now


def _row(values: dict[str, Any]) -> Row:
    stamps = values.get("status_timestamps")
    if isinstance(stamps, str):
        values["status_timestamps"] = json.loads(stamps)
    return Row(**values)
