"""`stateroom doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.cli.checkup import Finding
    from github_app.examination import Finding as GitHubFinding

MARKS = {"ok": "ok  ", "note": "note", "failed": "FAIL"}


def doctor(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[github|WORKSPACE]",
            help="`github`: the GitHub Apps. With --state: this workspace alone, as ORGANIZATION/NAME or ws-….",
        ),
    ] = None,
    state: Annotated[bool, typer.Option("--state", help="Check the stored states instead.")] = False,
    objects: Annotated[
        bool, typer.Option("--objects", help="Look for stored objects that nothing names instead.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="The data directory to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead.")] = False,
) -> None:
    """Check terraform, sandbox, database, queue, objects, clock, keys and disk, and say each remedy.

    With the settings a server would have: run it as the same user, with the same STATEROOM_* variables.  Changes
    nothing.  Exit status 1 if something would keep the server from doing its work.

    \b
    stateroom doctor --state                  every workspace's states
    stateroom doctor --state platform/network one workspace's

    reads and decrypts every state version, compares its hash and the chain of hashes, and names the first version of a
    workspace that does not fit; exit status 1 if there is one.

    \b
    stateroom doctor github

    asks GitHub about each app that is registered here: whether its key is accepted, which permissions and events it
    lacks, where deliveries go, where it is installed and who may use that, and what is left of the limits.

    \b
    stateroom doctor --objects

    lists the whole object store, and tells what lies there for more than two days and no row of the database names.
    """
    import json
    from dataclasses import asdict

    from app import diagnostics
    from app.cli import checkup, github_checks, object_checks, opening, state_checks

    if objects:
        raise typer.Exit(object_checks.check(data, as_json))
    if state:
        raise typer.Exit(state_checks.check(data, subject, as_json))
    if subject == "github":
        raise typer.Exit(github_checks.check(data, as_json))
    if subject is not None:
        raise typer.BadParameter("A workspace is named with --state only.")
    settings = opening.settings_for(data)
    diagnostics.configure(settings)  # what it meets on its way is told beside the answer
    findings = checkup.examine(settings)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            show(finding)
    raise typer.Exit(1 if any(finding.verdict == "failed" for finding in findings) else 0)


def show(finding: Finding | GitHubFinding) -> None:
    typer.echo(f"{MARKS[finding.verdict]}  {finding.subject:<10}  {finding.text}")
    if finding.remedy:
        typer.echo(f"{'':<18}→ {finding.remedy}")
