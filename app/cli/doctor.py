"""`stateroom doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.cli.checkup import Finding

MARKS = {"ok": "ok  ", "note": "note", "failed": "FAIL"}


def doctor(
    data: Annotated[Path | None, typer.Option(help="The data directory to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead.")] = False,
) -> None:
    """Check terraform, sandbox, database, queue, objects, clock, keys and disk, and say each remedy.

    With the settings a server would have: run it as the same user, with the same STATEROOM_* variables.  Changes
    nothing.  Exit status 1 if something would keep the server from doing its work.
    """
    import json
    from dataclasses import asdict

    from app.cli import checkup, opening

    findings = checkup.examine(opening.settings_for(data))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _print(finding)
    raise typer.Exit(1 if any(finding.verdict == "failed" for finding in findings) else 0)


def _print(finding: Finding) -> None:
    typer.echo(f"{MARKS[finding.verdict]}  {finding.subject:<10}  {finding.text}")
    if finding.remedy:
        typer.echo(f"{'':<18}→ {finding.remedy}")
