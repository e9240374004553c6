"""What a workspace can be set to, and what a value must look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from app.errors import Invalid
from app.workspaces.patterns import check_globs

Check = Callable[[str, Any], Any]

MOST_NAME = 90
MOST_REASON = 1024
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MODES = ("remote", "local")
_ENGINES = ("terraform", "opentofu")


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """*settings* by the names of the model's columns, each one checked.  Raises Invalid with the field's
    name."""
    unknown = set(settings) - set(CHECKS)
    if unknown:
        raise TypeError(f"a workspace has no setting {', '.join(sorted(unknown))}")
    return {field: CHECKS[field](field, value) for field, value in settings.items()}


def name(field: str, value: str) -> str:
    if not value:
        raise Invalid("A workspace needs a name.", field=field)
    if len(value) > MOST_NAME:
        raise Invalid(f"The name of a workspace has at most {MOST_NAME} characters.", field=field)
    if not _NAME.fullmatch(value):
        raise Invalid("The name of a workspace has only letters, digits, hyphens and underscores.", field=field)
    return value


def _switch(field: str, value: bool | None) -> bool:
    if value is None:
        raise Invalid(f"{field.replace('_', ' ').capitalize()} is true or false.", field=field)
    return value


def _mode(field: str, value: str | None) -> str:
    if value == "agent":
        raise Invalid(
            "This server has no agents: its own workers carry out runs. Use the execution mode remote, or local to"
            " run terraform on your machine.",
            field=field,
        )
    if value not in _MODES:
        raise Invalid("The execution mode is remote or local.", field=field)
    return str(value)


def _engine(field: str, value: str | None) -> str:
    if value not in _ENGINES:
        raise Invalid("The engine is terraform or opentofu.", field=field)
    return str(value)


def _text(most: int) -> Check:
    def check(field: str, value: str | None) -> str | None:
        if value is not None and len(value) > most:
            raise Invalid(f"It has at most {most} characters.", field=field)
        if value is not None and "\0" in value:
            raise Invalid("A text cannot hold a NUL character.", field=field)
        return value

    return check


def _working_directory(field: str, value: str | None) -> str:
    directory = (value or "").strip("/")
    if len(directory) > 1024 or "\0" in directory or ".." in directory.split("/"):
        raise Invalid(
            "The working directory is a path below the root of the configuration, at most 1024 characters, without ..",
            field=field,
        )
    return directory


def _patterns(field: str, value: list[str] | None) -> list[str]:
    patterns = value or []
    if len(patterns) > 100 or any(len(pattern) > 1024 or "\0" in pattern for pattern in patterns):
        raise Invalid("At most 100 of them, each of at most 1024 characters.", field=field)
    return patterns


def _globs(field: str, value: list[str] | None) -> list[str]:
    check_globs(globs := _patterns(field, value))
    return globs


CHECKS: dict[str, Check] = {
    "name": name,
    "description": _text(10_000),
    "execution_mode": _mode,
    "engine": _engine,
    "terraform_version": lambda field, value: value,  # what there is, decides: see versions.py
    "working_directory": _working_directory,
    "auto_apply": _switch,
    "auto_apply_run_trigger": _switch,
    "allow_destroy_plan": _switch,
    "queue_all_runs": _switch,
    "speculative_enabled": _switch,
    "file_triggers_enabled": _switch,
    "trigger_prefixes": _patterns,
    "trigger_patterns": _globs,
    "global_remote_state": _switch,
    "structured_run_output_enabled": _switch,
    "source": _text(32),
    "source_name": _text(255),
    "source_url": _text(2048),
}
