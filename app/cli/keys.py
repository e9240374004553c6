"""`stateroom keys`: what everything stored is encrypted with.  No key is ever printed, only its id."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="The keys everything stored is encrypted with; their ids, never the keys.")

Data = Annotated[Path | None, typer.Option(help="The data directory of the installation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_keys(data: Data = None, as_json: AsJson = False) -> None:
    """Show each key of the ring, how many rows hang on it, and when it may be dropped."""
    import json

    from app.cli import opening

    found = opening.run(data, _listed(opening.settings_for(data)))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for one in found:
            _print(one)


@app.command()
def rotate(
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only add the key; bring the file to every machine, then rotate.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key active and encrypt with it what rows hold under older ones; the server may run.

    Objects are not touched.  Killed in between, run it again: it finishes before it begins anew.  Copy the key file
    elsewhere afterwards; where several machines have one, see docs/operations.md.
    """
    import json

    from app.cli import opening

    settings = opening.settings_for(data)
    said = opening.run(data, _prepare(settings) if prepare else _rotate(settings))
    typer.echo(json.dumps(said, indent=2) if as_json else said.pop("text"))
    raise typer.Exit(1 if said.get("damaged") else 0)


@app.command()
def drop(
    key: Annotated[str, typer.Argument(help="The id of a retired key on which nothing hangs.")],
    now: Annotated[bool, typer.Option("--now", help="Although links signed with it still hold.")] = False,
    data: Data = None,
) -> None:
    """Take a retired key out of the key file, when nothing hangs on it any more."""
    from app.cli import opening
    from app.storage import rotation

    settings = opening.settings_for(data)
    opening.run(data, rotation.drop(settings, key, at_once=now))
    typer.echo(f"{key} is dropped.  A backup made before {key} was retired needs the key file of that time.")


async def _listed(settings: Any) -> list[dict[str, Any]]:
    from app.storage import rotation

    return [_shown(one) for one in await rotation.listed(settings)]


async def _prepare(settings: Any) -> dict[str, Any]:
    from app.storage import rotation

    key = await rotation.prepare(settings)
    text = f"{key} is in the key file and not active.  Bring the file to every machine, then: stateroom keys rotate"
    return {"prepared": key, "text": text}


async def _rotate(settings: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from app.storage import rotation

    done = await rotation.rotate(settings)
    retired = [_shown(one) for one in await rotation.listed(settings) if one.status == "retired"]
    return {**asdict(done), "retired": retired, "text": "\n".join(_sentences(done, retired))}


def _sentences(done: Any, retired: list[dict[str, Any]]) -> list[str]:
    from app.wording import counted

    how = "was made active by an earlier call, which is finished now" if done.resumed else "is active"
    anew = f"{counted(done.rewrapped, 'row')} {'was' if done.rewrapped == 1 else 'were'} encrypted anew"
    lines = [f"{done.active} {how}; {anew}.  Copy the key file elsewhere."]
    for one in retired:
        free_at = one["may-be-dropped-at"]
        until = f"may be dropped from {free_at} on" if free_at else f"has {counted(one['rows'], 'row')} and must stay"
        lines.append(f"{one['id']} {until}.")
    return lines + [f"Damaged: {what}" for what in done.damaged]


def _shown(known: Any) -> dict[str, Any]:
    from app import clock

    def wire(moment: Any) -> str | None:
        return clock.wire(moment) if moment else None

    return {
        "id": known.id,
        "status": known.status,
        "rows": known.rows,
        "since": wire(known.since),
        "retired-at": wire(known.retired_at),
        "may-be-dropped-at": wire(known.may_be_dropped_at),
    }


def _print(one: dict[str, Any]) -> None:
    from app.wording import counted

    free_at = one["may-be-dropped-at"]
    dropping = f"  may be dropped from {free_at} on" if free_at else ""
    typer.echo(f"{one['id']}  {one['status']:<8}  {counted(one['rows'], 'row')}{dropping}")
