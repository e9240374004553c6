"""Rules of the house that no tool knows."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = ("app", "backend_api", "github_app", "migrations")
OURS = {*SHIPPED, "bench", "tests"}
#: What belongs to a dependency so much that it goes without a version of its own.
PART_OF = {"markupsafe": "jinja2", "pydantic-core": "pydantic", "uvloop": "uvicorn", "httptools": "uvicorn"}


def normal(name: str) -> str:
    """A distribution's one name among its spellings."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>;~! ]", name)[0]).lower()


RUNTIME = {normal(name) for name in PROJECT["project"]["dependencies"]}
DEVELOPMENT = {normal(name) for group in PROJECT["dependency-groups"].values() for name in group}


def test_every_module_of_app_has_its_layer() -> None:
    (contract,) = (c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    placed = set(re.findall(r"app\.(\w+)", " ".join(contract["layers"])))
    modules = {path.stem for path in (ROOT / "app").glob("*.py")}
    packages = {path.parent.name for path in (ROOT / "app").glob("*/*.py")}
    assert (modules | packages) - {"__init__"} - placed == set()


def test_every_folder_of_code_is_a_package() -> None:
    """The check of the layers does not see one without ``__init__.py``."""
    folders = {path.parent for package in SHIPPED for path in (ROOT / package).rglob("*.py")}
    assert {str(path.relative_to(ROOT)) for path in folders if not (path / "__init__.py").exists()} == set()


def test_nothing_waits_in_a_way_that_swallows_a_cancellation() -> None:
    """`asyncio.wait_for` of Python 3.11 goes on as if nobody had cancelled it when what it waits for comes in the same
    moment: a worker told to stop then never ends.  `asyncio.timeout` heeds both."""
    waiting = [
        path for package in SHIPPED for path in (ROOT / package).rglob("*.py") if "wait_for(" in path.read_text()
    ]
    assert waiting == []


def test_githubkit_is_imported_when_it_is_called() -> None:
    """It costs a second and 40 MB, and most processes never call GitHub."""
    early = {
        f"{path.relative_to(ROOT)}:{found.lineno}"
        for path in (ROOT / "github_app").rglob("*.py")
        for found in at_start(ast.parse(path.read_text()).body)
        if re.search(r"\bgithubkit\b", ast.unparse(found))
    }
    assert early == set()


def test_whatever_is_shipped_imports_only_what_it_depends_on() -> None:
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in SHIPPED
        for path in (ROOT / package).rglob("*.py")
        for name in foreign_imports(path)
        if not distributions(name) & RUNTIME
    }
    assert undeclared == set()


def test_tests_and_benches_import_only_what_is_locked() -> None:
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in ("bench", "tests")
        for path in (ROOT / package).rglob("*.py")
        for name in foreign_imports(path)
        if not distributions(name) & (RUNTIME | DEVELOPMENT)
    }
    assert undeclared == set()


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs/decisions/0001-dependencies.md").read_text()
    reasons = {
        normal(name.strip()) for row in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE) for name in row.split(",")
    }
    assert (RUNTIME | DEVELOPMENT) - reasons == set()


def test_no_lock_file_names_a_place() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert not re.search(r"://|^-|^\S*/", text, re.MULTILINE)
        pinned = {normal(line) for line in text.splitlines() if line and line[0].isalnum()}
        assert pinned >= RUNTIME


def at_start(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The imports that are made when the module is: those outside of functions, and of `if TYPE_CHECKING`."""
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.ClassDef | ast.Try | ast.With):
            yield from at_start(statement.body)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) != "TYPE_CHECKING":
            yield from at_start([*statement.body, *statement.orelse])


def foreign_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top not in OURS:
                yield top


def distributions(name: str) -> set[str]:
    found = {normal(distribution) for distribution in PROVIDERS.get(name, [])}
    return {PART_OF.get(distribution, distribution) for distribution in found}


PROVIDERS = packages_distributions()
