"""What can be done with the variables of a workspace."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tortoise.exceptions import IntegrityError

from app import clock, ids, settings
from app.access.actors import Actor
from app.access.permissions import require
from app.errors import Invalid, NotFound
from app.http.limits import readable
from app.secret import Secret
from app.storage import crypto
from app.storage.database import in_transaction
from app.variables.models import Variable
from app.variables.precedence import Candidate, Level, Value, winners
from app.workspaces.models import Workspace

CATEGORIES = ("terraform", "env")
_TERRAFORM_KEY = re.compile(r"[^\W\d][\w-]*")
_ENV_KEY = re.compile(r"[^=\s\0]+")


@dataclass(frozen=True, slots=True)
class Change:
    """What a request wants of a variable; None leaves it as it was."""

    key: str | None = None
    value: Secret[str] | None = None
    description: str | None = None
    category: str | None = None
    hcl: bool | None = None
    sensitive: bool | None = None


async def of(actor: Actor, workspace: Workspace) -> list[Variable]:
    await require(actor, "variable:read", workspace)
    return await Variable.filter(workspace_id=workspace.id).order_by("key", "category", "id")


async def find(actor: Actor, workspace: Workspace, variable_id: str) -> Variable:
    await require(actor, "variable:read", workspace)
    variable = await Variable.get_or_none(id=variable_id, workspace_id=workspace.id)
    if variable is None:
        raise NotFound(f"The workspace {workspace.name} has no variable {variable_id}.")
    return variable


async def create(actor: Actor, workspace: Workspace, wanted: Change) -> Variable:
    await require(actor, "variable:write", workspace)
    now = clock.now()
    variable = Variable(
        id=ids.new("variable"),
        workspace_id=workspace.id,
        key=wanted.key or "",
        description=wanted.description or "",
        category=wanted.category or "",
        hcl=bool(wanted.hcl),
        sensitive=bool(wanted.sensitive),
        version_id=_new_version(),
        created_at=now,
        updated_at=now,
    )
    _check(variable)
    _seal(variable, wanted.value or Secret(""))
    try:
        async with in_transaction():
            await _key_is_free(variable)
            await variable.save(force_create=True)
    except IntegrityError as error:
        raise _taken() from error
    return variable


async def update(actor: Actor, workspace: Workspace, variable: Variable, wanted: Change) -> Variable:
    await require(actor, "variable:write", workspace)
    try:
        async with in_transaction():
            return await _update(variable.id, workspace, wanted)
    except IntegrityError as error:
        raise _taken() from error


async def update_all(actor: Actor, workspace: Workspace, wanted: Sequence[tuple[str, Change]]) -> None:
    """Change several by id: all of them or none."""
    await require(actor, "variable:write", workspace)
    try:
        async with in_transaction():
            for variable_id, change in wanted:
                await _update(variable_id, workspace, change)
    except IntegrityError as error:
        raise _taken() from error


async def delete(actor: Actor, workspace: Workspace, variable: Variable) -> None:
    await require(actor, "variable:write", workspace)
    await Variable.filter(id=variable.id, workspace_id=workspace.id).delete()


async def effective(workspace: Workspace, run_variables: Iterable[Value] = ()) -> list[Value]:
    """What a run of *workspace* gets: for the domain itself, which shows it to nobody."""
    rows = await Variable.filter(workspace_id=workspace.id)
    candidates = [Candidate(as_value(row), Level.WORKSPACE) for row in rows]
    candidates += [Candidate(value, Level.RUN) for value in run_variables]
    return winners(candidates)


def as_value(variable: Variable) -> Value:
    return Value(
        key=variable.key,
        value=reveal(variable),
        category=variable.category,
        hcl=variable.hcl,
        sensitive=variable.sensitive,
        source="workspace",
    )


def reveal(variable: Variable) -> Secret[str]:
    """The value, also a sensitive one's: whoever shows it to people asks `sensitive` first."""
    return Secret(crypto.open_sealed(bytes(variable.sealed_value), context=_context(variable)).decode())


async def _update(variable_id: str, workspace: Workspace, wanted: Change) -> Variable:
    variable = await Variable.filter(id=variable_id, workspace_id=workspace.id).select_for_update().get_or_none()
    if variable is None:
        raise NotFound(f"The workspace {workspace.name} has no variable {variable_id[:40]}.")
    changes = _changes(variable, wanted)
    if variable.sensitive and changes:
        raise Invalid(
            "Only the value of a sensitive variable can be changed. Delete it and create another to change more.",
            field=next(iter(changes)),
        )
    moved = "key" in changes or "category" in changes
    variable.update_from_dict(changes)
    _check(variable)
    if wanted.value is not None:
        _seal(variable, wanted.value)
    if moved:
        await _key_is_free(variable)
    variable.version_id, variable.updated_at = _new_version(), clock.now()
    await variable.save()
    return variable


def _changes(variable: Variable, wanted: Change) -> dict[str, Any]:
    """What would differ, beside the value."""
    fields = ("key", "description", "category", "hcl", "sensitive")
    asked = {field: getattr(wanted, field) for field in fields}
    return {field: value for field, value in asked.items() if value not in (None, getattr(variable, field))}


def _check(variable: Variable) -> None:
    if variable.category not in CATEGORIES:
        raise Invalid("The category of a variable is terraform or env.", field="category")
    if not variable.key:
        raise Invalid("A variable needs a key.", field="key")
    if len(variable.key) > 128:
        raise Invalid("The key of a variable has at most 128 characters.", field="key")
    if variable.category == "terraform" and not _TERRAFORM_KEY.fullmatch(variable.key):
        raise Invalid(
            "The key of a Terraform variable has letters, digits, underscores and hyphens, and begins with a letter"
            " or an underscore.",
            field="key",
        )
    if variable.category == "env" and not _ENV_KEY.fullmatch(variable.key):
        raise Invalid("The name of an environment variable has neither spaces nor an equals sign.", field="key")
    if len(variable.description) > 512:
        raise Invalid("The description of a variable has at most 512 characters.", field="description")


def _seal(variable: Variable, value: Secret[str]) -> None:
    plain = value.reveal().encode()
    limit = settings.current().max_variable
    if len(plain) > limit:
        raise Invalid(
            f"The value of a variable may be {readable(limit)} long at most; the setting STATEROOM_MAX_VARIABLE moves"
            " that limit.",
            field="value",
        )
    if variable.category == "env" and b"\0" in plain:
        raise Invalid("An environment variable cannot hold a NUL character.", field="value")
    variable.sealed_value = crypto.seal(plain, context=_context(variable))


def _context(variable: Variable) -> tuple[str, ...]:
    return "variable", variable.id


def _new_version() -> str:
    return secrets.token_hex(32)


async def _key_is_free(variable: Variable) -> None:
    same = Variable.filter(
        workspace_id=variable.workspace_id,
        key=variable.key,
        category=variable.category,
    )
    if await same.exclude(id=variable.id).exists():
        raise _taken()


def _taken() -> Invalid:
    return Invalid("Key has already been taken.", field="key")
