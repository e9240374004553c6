"""The files of ours in a run's root module: the backend, and the variables' values.

Terraform merges override files and reads automatic variable files in the byte order of their names, the last one
winning.  So ours must sort after everything that was uploaded, whatever that is called; their names are computed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import Invalid
from app.variables.expressions import is_expression
from app.variables.precedence import Value

STEM = "zzz_stateroom"
_OVERRIDES = ("_override.tf", "_override.tf.json", "_override.tofu", "_override.tofu.json")
_VALUES = (".auto.tfvars", ".auto.tfvars.json")
_LONGEST_NAME = 255
_LARGEST_SCANNED = 4 * 1024**2

#: What a configuration may bring along that would stop `init` or lead it to another state.
STRAYS = ("terraform.tfstate", "terraform.tfstate.backup", ".terraform/terraform.tfstate", ".terraform/environment")
STRAY_DIRECTORY = "terraform.tfstate.d"

#: As terraform's `configs.IsConfigDir` and tofu's have it; files that editors leave are none.
_CONFIGURATION = {"terraform": (".tf", ".tf.json"), "opentofu": (".tf", ".tf.json", ".tofu", ".tofu.json")}
_IGNORED = re.compile(r"\.|.*~\Z|#.*#\Z", re.DOTALL)

_IDENTIFIER = re.compile(r"[^\W\d][\w-]*\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")


@dataclass(frozen=True, slots=True)
class Laid:
    """Files to be written into the root module, and what the log must say about variables left out."""

    files: Mapping[str, bytes]
    remarks: tuple[str, ...] = ()


def is_configuration(names: Iterable[str], engine: str) -> bool:
    """Whether *engine* would take a directory with files of these *names* for one with a configuration.

    Ours lie beside them and would make it one, so the guard that terraform has against planning without any, which is
    the destruction of everything, would never be asked.
    """
    endings = _CONFIGURATION[engine]
    return any(name.endswith(endings) and not _IGNORED.match(name) for name in names)


def backend(names: Iterable[str], state_directory: str) -> tuple[str, bytes]:
    """Name and content of the override that puts the state into *state_directory*; *names* lie beside it."""
    text = (
        "terraform {\n"
        '  backend "local" {\n'
        f"    path          = {json.dumps(state_directory + '/default.tfstate')}\n"
        f"    workspace_dir = {json.dumps(state_directory)}\n"
        "  }\n"
        "}\n"
    )
    overrides = [name for name in names if name.endswith(_OVERRIDES) or name.startswith("override.t")]
    return _checked(_sorting_last(f"{STEM}_override.tf", overrides, "_stateroom_override.tf")), text.encode()


def variables(values: Iterable[Value], root: Path, names: Iterable[str]) -> Laid:
    """The variables of category `terraform` as files: plain strings together, each HCL expression alone.

    An error in an expression then names its variable.  Names the configuration does not declare are left out, since
    each would be a warning in the log; where that cannot be told for sure they are written.
    """
    wanted = [value for value in values if value.category == "terraform"]
    if not wanted:
        return Laid({})
    declared = declared_variables(root)
    wanted = [value for value in wanted if declared is None or value.key in declared]
    first = f"{STEM}{_VALUES[0]}"
    base = _sorting_last(first, [name for name in names if name.endswith(_VALUES)], "_stateroom" + _VALUES[0])
    base = base.removesuffix(_VALUES[0])
    files: dict[str, bytes] = {}
    remarks = []
    plain = {value.key: value.value.reveal() for value in wanted if not value.hcl}
    if plain:
        files[_checked(f"{base}.auto.tfvars.json")] = json.dumps(plain).encode()
    for number, value in enumerate(value for value in wanted if value.hcl):
        if not _IDENTIFIER.match(value.key):
            remarks.append(f"The variable {value.key!r} is left out: Terraform knows no such name.")
            continue
        if not value.value.reveal():
            raise Invalid(
                f"The variable {value.key} ({value.source}) is HCL and has no value yet. Give it one; empty text is"
                ' written "", with the quotes.'
            )
        if not is_expression(value.value.reveal()):
            raise Invalid(
                f"The value of the variable {value.key} ({value.source}) is HCL and no single expression of"
                " Terraform's language. Put a text into quotes, or set it without HCL."
            )
        name = value.key if _PLAIN_NAME.match(value.key) else str(number)
        files[_checked(f"{base}_{name}.auto.tfvars")] = f"{value.key} = {value.value.reveal()}\n".encode()
    return Laid(files, tuple(remarks))


_DECLARATION = re.compile(r"""(?<![\w.-])variable(?:[ \t]*"([^"\\$%\n]+)"|[ \t]+([^\W\d][\w-]*))[ \t]*\{""")
_PERHAPS = re.compile(r"""(?m)^\s*variable(?![\w-])(?!\s*=)""")


def declared_variables(root: Path) -> frozenset[str] | None:
    """The input variables that the files of *root* declare; None if something there is not understood."""
    found: set[str] = set()
    for path in root.iterdir():
        if path.name.startswith(".") or not path.name.endswith((".tf", ".tf.json", ".tofu", ".tofu.json")):
            continue
        try:
            if path.stat().st_size > _LARGEST_SCANNED:
                return None
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return None
        names = _declared_in_json(text) if path.name.endswith(".json") else _declared_in(text)
        if names is None:
            return None
        found |= names
    return frozenset(found)


def _declared_in(text: str) -> set[str] | None:
    """Also finds what stands in a comment, which does no harm; anything half understood gives None."""
    blocks = list(_DECLARATION.finditer(text))
    understood = {match.start() for match in blocks}
    for doubt in _PERHAPS.finditer(text):
        if doubt.end() - len("variable") not in understood:
            return None
    return {match[1] or match[2] for match in blocks}


def _declared_in_json(text: str) -> set[str] | None:
    try:
        blocks = json.loads(text).get("variable", {})
    except (ValueError, AttributeError):
        return None
    found: set[str] = set()
    for block in blocks if isinstance(blocks, list) else [blocks]:
        if not isinstance(block, dict):
            return None
        found |= block.keys()
    return found


def _sorting_last(name: str, others: Iterable[str], ending: str) -> str:
    """*name*, or one made of the last of *others* and *ending* if that would sort after it."""
    last = max(others, key=os.fsencode, default="")
    if os.fsencode(last) < os.fsencode(name):
        return name
    stem = last
    for known in (*_VALUES[::-1], ".tf.json", ".tofu.json", ".tofu", ".tf"):
        if last.endswith(known):
            stem = last.removesuffix(known)
            break
    return stem + ending


def _checked(name: str) -> str:
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise Invalid(
            f"A file's name in the configuration is too long for one of Stateroom's to sort after it: {name[:60]}…"
            " Give it a shorter one."
        )
    return name
