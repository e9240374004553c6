"""The command `stateroom`."""

from __future__ import annotations

import sys

import typer

from app.cli import (
    doctor,
    env,
    keys,
    migrate,
    organizations,
    queue,
    runs,
    saying,
    serve,
    tokens,
    up,
    users,
    version,
    worker,
)
from app.errors import StateroomError

app = typer.Typer(
    name="stateroom",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "A self-hosted remote backend for Terraform.\n\n"
        "Start here:\n\n\b\n"
        "  stateroom up                   everything on this machine; prints how to log in\n"
        '  eval "$(stateroom env)"        point this shell\'s terraform at it\n'
        "  terraform init && terraform apply\n\n"
        'with `backend "remote"` or `cloud` in the configuration, host name localhost:8443 and organization main.'
        " When something does not work: `stateroom doctor`.\n\n"
        "Settings come from STATEROOM_* variables or a TOML file (STATEROOM_CONFIG): docs/settings.md."
    ),
)
app.command(short_help="Everything on this machine, started and stopped together.")(up.up)
app.command(short_help="Point a shell's terraform at this server.")(env.env)
app.command(short_help="What works here, what does not, and the remedies.")(doctor.doctor)
app.command()(serve.serve)
app.command()(worker.worker)
app.command(short_help="Bring the database to this version's schema.")(migrate.migrate)
app.command(short_help="Runs, newest first, and why they wait.")(runs.runs)
app.command(short_help="Workers, what they do, and what waits for them.")(queue.queue)
app.command(short_help="Versions: this, Python, and the terraforms a worker finds here.")(version.version)
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")
app.add_typer(organizations.app, name="org")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run a command.  What the reader can act on is a sentence and status 1; a traceback is a bug."""
    try:
        app()
    except StateroomError as error:
        complain(error)
        sys.exit(1)


def complain(error: StateroomError) -> None:
    saying.say(error.sentence, log_format())


def log_format() -> str:
    """That of the settings, once a command has loaded some: what is wrong may be the settings."""
    from app import settings

    known = settings.loaded()
    return known.log_format if known is not None else "text"


if __name__ == "__main__":
    main()
