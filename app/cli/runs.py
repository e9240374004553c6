"""`stateroom runs`: what runs there are, and why those that wait do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import Invalid

if TYPE_CHECKING:
    from app.runs.models import Run
    from app.runs.waiting import Waiting


def runs(
    org: Annotated[str | None, typer.Option(help="Only those of this organization.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Only those of workspaces with this name.")] = None,
    status: Annotated[str | None, typer.Option(help="Only these, comma-separated: pending,planning,…")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    data: Annotated[Path | None, typer.Option(help="The data directory of the installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List runs, newest first, read from the database: it works while nothing serves.

    \b
    stateroom runs
    stateroom runs --org main --status pending,plan_queued
    stateroom runs --workspace network --json
    """
    import json

    from app.cli import opening

    found = opening.run(data, listed(org, workspace, _statuses(status), limit))
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        typer.echo("\n".join(_lines(found)))
    else:
        typer.echo("No such runs." if org or workspace or status else "No runs yet.", err=True)


def _lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """Columns as wide as what stands in them, and below a run that waits its reason."""
    rows = [(run["id"], run["created-at"], f"{run['organization']}/{run['workspace']}", run["status"]) for run in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for run, row in zip(found, rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join([*cells, printable(run["message"])]).rstrip()
        if run["waiting-for"]:
            yield f"    {printable(run['waiting-for'])}"


async def listed(
    organization: str | None, workspace: str | None, statuses: list[str] | None, limit: int
) -> list[dict[str, Any]]:
    """The runs themselves.  An organization that is not there is an error: a wrong name is no empty list."""
    from app import organizations
    from app.access.actors import SYSTEM
    from app.runs import visible, waiting

    found = visible(SYSTEM)
    if organization is not None:
        found = found.filter(organization_id=(await organizations.find(SYSTEM, organization)).id)
    if workspace is not None:
        found = found.filter(workspace__name=workspace)
    if statuses is not None:
        found = found.filter(status__in=statuses)
    rows = await found.order_by("-created_at", "-number").limit(limit).select_related("workspace", "organization")
    reasons = await waiting.reasons_of(rows)
    return [told(run, reasons.get(run.id)) for run in rows]


def told(run: Run, reason: Waiting | None) -> dict[str, Any]:
    from app import clock

    return {
        "id": run.id,
        "organization": run.organization.name,
        "workspace": run.workspace.name,
        "status": run.status,
        "message": run.message,
        "created-at": clock.wire(run.created_at),
        "waiting-for": f"{reason.sentence}." if reason else None,
    }


def printable(text: str) -> str:
    """*text* in one line, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _statuses(text: str | None) -> list[str] | None:
    from app.runs.statuses import Status

    if text is None:
        return None
    named = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in named if word not in set(Status)]
    if unknown:
        raise Invalid(f"--status {', '.join(unknown)}: there is no such status. There are {', '.join(Status)}.")
    return named
