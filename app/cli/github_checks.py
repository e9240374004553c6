"""`stateroom doctor github`: what stands between each GitHub App and its work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from github_app.examination import Finding


def check(data: Path | None, as_json: bool) -> int:
    """Tell what was found of each app.  1 if something keeps one from its work."""
    from dataclasses import asdict

    from app import diagnostics, links
    from app.cli import doctor, opening

    settings = opening.settings_as_started(data)
    diagnostics.configure(settings)  # what it meets on its way is told beside the answer
    found = opening.run_with(settings, _examine())
    if as_json:
        typer.echo(json.dumps([{"app": app} | asdict(one) for app, findings in found for one in findings], indent=2))
    elif not found:
        typer.echo("note  There is no GitHub App here.")
        typer.echo(f"      → A site admin makes one on {settings.external_url}{links.GITHUB_APPS}")
    else:
        for app, findings in found:
            typer.echo(app)
            for finding in findings:
                doctor.show(finding)
    return 1 if any(one.verdict == "failed" for _, findings in found for one in findings) else 0


async def _examine() -> list[tuple[str, list[Finding]]]:
    from app.access.actors import SYSTEM
    from github_app import apps, client, examination

    try:
        return [
            (f"{app.slug or app.app_id} at {app.web_url.partition('://')[2]}", await examination.examine(app))
            for app in await apps.visible(SYSTEM)
        ]
    finally:
        await client.close()
