"""One variable, whoever has it: what may be written, how it is sealed, how it changes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from app import clock, ids, settings
from app.errors import Invalid
from app.http.limits import readable
from app.secret import Secret
from app.storage import crypto
from app.variables.expressions import is_expression, unknown_word
from app.variables.models import Kept
from app.variables.precedence import Value

CATEGORIES = ("terraform", "env")
_TERRAFORM_KEY = re.compile(r"[^\W\d][\w-]*")
_ENV_KEY = re.compile(r"(?!-)[^=\s\0]+")
#: Linux starts no program with a longer string in its environment, `NAME=value` and the NUL behind it.
MOST_OF_ENVIRONMENT = 128 * 1024
#: Nor with more of them together than a quarter of the stack's limit, which is 8 MiB as a rule; half a MiB of that is
#: left for what Stateroom and Terraform add.
MOST_OF_ALL_ENVIRONMENT = 3 * 512 * 1024
#: How many of them: bubblewrap takes 9000 arguments, of which each is three.  `runs.addresses` has its share as well.
MOST_IN_ENVIRONMENT = 1500
#: What the kernel counts of a variable besides its text: ``=``, NUL and a pointer.
_BESIDE = 10

K = TypeVar("K", bound=Kept)


@dataclass(frozen=True, slots=True)
class Change:
    """What a request wants of a variable; None leaves it as it was."""

    key: str | None = None
    value: Secret[str] | None = None
    description: str | None = None
    category: str | None = None
    hcl: bool | None = None
    sensitive: bool | None = None


async def insert(model: type[K], wanted: Change, **holder: Any) -> K:
    """Make one that belongs to *holder*, inside the caller's transaction."""
    now = clock.now()
    variable = model(
        id=ids.new("variable"),
        key=wanted.key or "",
        description=wanted.description or "",
        category=wanted.category or "",
        hcl=bool(wanted.hcl),
        sensitive=bool(wanted.sensitive),
        version_id=_new_version(),
        created_at=now,
        updated_at=now,
        **holder,
    )
    _check(variable)
    _seal(variable, wanted.value or Secret(""))
    await _key_is_free(variable)
    await variable.save(force_create=True)
    return variable


async def change(variable: Kept, wanted: Change) -> bool:
    """Write what is *wanted*, inside the caller's transaction, which holds the row.  Whether key or category moved."""
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
    elif moved or "hcl" in changes:
        _check_value(variable, reveal(variable))
    if moved:
        await _key_is_free(variable)
    variable.version_id, variable.updated_at = _new_version(), clock.now()
    await variable.save()
    return moved


def as_value(variable: Kept, source: str) -> Value:
    return Value(
        key=variable.key,
        value=reveal(variable),
        category=variable.category,
        hcl=variable.hcl,
        sensitive=variable.sensitive,
        source=source,
    )


def reveal(variable: Kept) -> Secret[str]:
    """The value, also a sensitive one's: whoever shows it to people asks `sensitive` first."""
    return Secret(crypto.open_sealed(bytes(variable.sealed_value), context=variable.sealed_context).decode())


def check_of_run(value: Value) -> None:
    """What a run was given beside its workspace's variables.  Raises Invalid."""
    if not _TERRAFORM_KEY.fullmatch(value.key) or len(value.key) > 128:
        raise Invalid(
            f"A run was given a variable {value.key[:60]!r}, which is no name of one: it has letters, digits,"
            " underscores and hyphens, begins with a letter or an underscore, and is 128 characters long at most.",
            field="variables",
        )
    if len(value.value.reveal().encode()) > settings.current().max_variable:
        raise _too_long("variables")
    _check_expression(value.key, value.value, field="variables")


def check_environment(values: Iterable[Value]) -> None:
    """Raise Invalid if no program could be started with the environment variables among the *values* of a run."""
    sizes = {one.key: _length(one) for one in values if one.category == "env"}
    if len(sizes) > MOST_IN_ENVIRONMENT:
        raise Invalid(
            f"The workspace and its variable sets have {len(sizes)} environment variables, and no run can be started"
            f" with more than {MOST_IN_ENVIRONMENT}. Use variables of the category terraform, which reach Terraform in"
            " a file.",
            field="/data/relationships/workspace",
        )
    total, most = sum(sizes.values()), readable(MOST_OF_ALL_ENVIRONMENT)
    if total > MOST_OF_ALL_ENVIRONMENT:
        longest = max(sizes, key=lambda key: sizes[key])
        raise Invalid(
            f"The environment variables of the workspace and its variable sets come to {readable(total)}, and Linux"
            f" starts no program with many more than {most}. The longest is {longest}: use variables of the category"
            " terraform, which reach Terraform in a file.",
            field="/data/relationships/workspace",
        )


def _length(one: Value) -> int:
    return len(one.key.encode()) + len(one.value.reveal().encode()) + _BESIDE


def taken() -> Invalid:
    return Invalid("Key has already been taken.", field="key")


def _changes(variable: Kept, wanted: Change) -> dict[str, Any]:
    """What would differ, beside the value."""
    fields = ("key", "description", "category", "hcl", "sensitive")
    asked = {field: getattr(wanted, field) for field in fields}
    return {field: value for field, value in asked.items() if value not in (None, getattr(variable, field))}


def _check(variable: Kept) -> None:
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
        raise Invalid(
            "The name of an environment variable has neither spaces nor an equals sign, and does not begin with a"
            " hyphen.",
            field="key",
        )
    if len(variable.description) > 512:
        raise Invalid("The description of a variable has at most 512 characters.", field="description")


def _seal(variable: Kept, value: Secret[str]) -> None:
    _check_value(variable, value)
    variable.sealed_value = crypto.seal(value.reveal().encode(), context=variable.sealed_context)


def _check_value(variable: Kept, value: Secret[str]) -> None:
    plain = value.reveal().encode()
    if len(plain) > settings.current().max_variable:
        raise _too_long("value")
    _check_fits(variable, plain)
    if b"\0" in plain:
        raise Invalid("The value of a variable cannot hold a NUL character.", field="value")
    if variable.hcl and variable.category == "terraform" and not _waits(variable, plain):
        _check_expression(variable.key, value)


def _waits(variable: Kept, plain: bytes) -> bool:
    """Whether the value is still to come: a sensitive variable is often made by one who does not know it.  The tfe
    provider sends an empty value then; a run that needs the variable says that it has none."""
    return variable.sensitive and not plain


def _check_fits(variable: Kept, plain: bytes) -> None:
    """Raise Invalid if no program could be started with the variable."""
    if variable.category == "env" and len(variable.key.encode()) + len(plain) + 2 > MOST_OF_ENVIRONMENT:
        raise Invalid(
            f"Linux starts no program with an environment variable of more than {readable(MOST_OF_ENVIRONMENT)}, its"
            " name counted. Use a variable of the category terraform, which reaches Terraform in a file.",
            field="value",
        )


def _check_expression(key: str, value: Secret[str], *, field: str = "value") -> None:
    """Raise Invalid if what is to be written as HCL behind *key* would say more than the value of *key*, or nothing
    that Terraform takes as one."""
    if not value.reveal():
        raise Invalid(
            f'The value of {key} is empty, which is no expression of Terraform\'s language. Empty text is written "",'
            " with the quotes.",
            field=field,
        )
    if not is_expression(value.reveal()):
        raise Invalid(
            f"The value of {key} is no single expression of Terraform's language. Put a text into quotes, or send it"
            " without hcl.",
            field=field,
        )
    word = unknown_word(value.reveal())
    if word is not None:
        raise Invalid(
            f"The value of {key} asks for {word}, and Terraform takes only literal values for variables, as in a tfvars"
            " file. Put a text into quotes; what has to be computed belongs in the configuration.",
            field=field,
        )


def _too_long(field: str) -> Invalid:
    return Invalid(
        f"The value of a variable may be {readable(settings.current().max_variable)} long at most; the setting"
        " STATEROOM_MAX_VARIABLE moves that limit.",
        field=field,
    )


def _new_version() -> str:
    return secrets.token_hex(32)


async def _key_is_free(variable: Kept) -> None:
    same = type(variable).filter(key=variable.key, category=variable.category, **variable.holder)
    if await same.exclude(id=variable.id).exists():
        raise taken()
