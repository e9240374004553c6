"""`stateroom version`: what this is, what runs it, and which versions its runs could have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.settings import Settings


def version(
    data: Annotated[Path | None, typer.Option(help="The data directory to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Print the versions of Stateroom, of Python, and of what a worker would find here to carry out runs with.

    Starts each program to ask it; one that says another version than its directory is told, as is what was left out.
    Bundles and official releases come on top, where a run names one: docs/versions.md.
    """
    import json

    from app.cli import opening

    settings = opening.settings_for(data)
    found = gathered(settings)
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(_lines(found)))


def gathered(settings: Settings) -> dict[str, Any]:
    import platform
    from importlib.metadata import version as installed

    from app.execution import releases
    from app.workspaces import versions

    found, left_out = releases.survey(settings)
    named = {one.name: one for one in found}
    here = sorted(named.values(), key=lambda one: versions.order(one.version), reverse=True)
    engines = {
        engine: [
            {"version": one.version, "path": str(one.path), "says": releases.version_of(one.path)}
            for one in here
            if one.engine == engine
        ]
        for engine in versions.NAMES
    }
    return {
        "stateroom": installed("stateroom"),
        "python": platform.python_version(),
        **engines,
        "left-out": [{"path": str(one.path), "why": one.why} for one in left_out],
    }


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for name, told in found.items():
        if name == "left-out":
            lines += [f"{'left out':<10} {one['path']}: {one['why']}" for one in told]
            continue
        each = [_line(one) for one in told] if isinstance(told, list) else [told]
        lines += [f"{name:<10} {line}" for line in each or ["none here"]]
    return lines


def _line(one: dict[str, Any]) -> str:
    line = f"{one['version']:<10} {one['path']}"
    if one["says"] == one["version"]:
        return line
    return f"{line}  (it says it is {one['says']})" if one["says"] else f"{line}  (it does not say its version)"
