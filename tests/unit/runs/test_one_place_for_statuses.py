"""Nobody but the lifecycle's table says what a status of a run means."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.runs.statuses import Status

ROOT = Path(__file__).parents[3]
#: Which statuses there are, and what they mean.
THEIR_PLACE = {"app/runs/statuses.py", "app/runs/lifecycle.py"}
MODULES = {
    name: path
    for package in ("app", "backend_api", "github_app")
    for path in sorted((ROOT / package).rglob("*.py"))
    if (name := path.relative_to(ROOT).as_posix()) not in THEIR_PLACE
}
#: They lie below the runs; the statuses they ask for are those of a state version or a configuration version.
BELOW = ("app/states/", "app/workspaces/", "app/configurations/")
VALUES = {status.value for status in Status}
#: A condition of SQL or of a template.
_CONDITION = re.compile(rf"\bstatus\s*(?:=|==|!=|<>|(?:not\s+)?in)\s*[\[(]?\s*['\"](?:{'|'.join(VALUES)})['\"]", re.I)


def decisions(text: str) -> list[str]:
    """What *text* compares or queries a run's status by, as it is written there.  A table, whose key is a status, is no
    decision."""
    tree = ast.parse(text)
    keys = {id(node) for key in _keys(tree) for node in ast.walk(key)}
    names = set(_names(tree))
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if id(node) not in keys and (_is_named(node, names) or _is_compared(node) or _is_condition(node))
    ]


def _keys(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (key for key in node.keys if key is not None)
        elif isinstance(node, ast.Subscript):
            yield node.slice


def _names(tree: ast.AST) -> Iterator[str]:
    """How the module calls the statuses of runs: ``PENDING``, ``Status.PENDING``, ``statuses.PENDING``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        for one in node.names:
            called = one.asname or one.name
            if node.module == "app.runs.statuses" and one.name in Status.__members__:
                yield called
            elif (node.module, one.name) in (("app.runs.statuses", "Status"), ("app.runs", "statuses")):
                yield from (f"{called}.{name}" for name in Status.__members__)


def _is_named(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load) and ast.unparse(node) in names


def _is_compared(node: ast.AST) -> bool:
    """``run.status == …``, with a word or with another status, and ``filter(status="…")``."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if not any(isinstance(side, ast.Attribute) and side.attr == "status" for side in sides):
            return False
        of_run = any(ast.unparse(side) in ("run.status", "event.status", "self.run.status") for side in sides)
        return of_run or any(_is_value(inner) for side in sides for inner in ast.walk(side))
    if isinstance(node, ast.keyword) and node.arg in ("status", "status__in", "status__not", "status__not_in"):
        return any(_is_value(inner) for inner in ast.walk(node.value))
    return False


def _is_value(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in VALUES


def _is_condition(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_CONDITION.search(node.value))


def test_no_module_outside_the_lifecycle_decides_by_a_status() -> None:
    found = {name: decisions(path.read_text()) for name, path in MODULES.items() if not name.startswith(BELOW)}
    assert {path: words for path, words in found.items() if words} == {}


def test_no_template_decides_by_a_status() -> None:
    templates = sorted((ROOT / "app").rglob("*.html")) + sorted((ROOT / "github_app").rglob("*.html"))
    assert templates
    assert [path.name for path in templates if _CONDITION.search(path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        "from app.runs.statuses import PENDING\nRun.filter(status=PENDING)",
        "from app.runs.statuses import PENDING as WAITS\nif run.status in (WAITS,): pass",
        "from app.runs.statuses import Status\nfound = run.status is Status.APPLIED",
        "from app.runs import statuses\nruns.filter(status__in=[statuses.APPLIED])",
        "if run.status == 'planned': pass",
        "while run.status != before: pass",
        "Run.filter(status='applied')",
        "SQL = \"SELECT id FROM runs WHERE status = 'pending'\"",
    ],
)
def test_a_decision_is_found_however_it_is_written(text: str) -> None:
    assert decisions(text)


def test_a_table_by_status_is_no_decision() -> None:
    table = "from app.runs.statuses import Status\nSTEPS = {Status.PLANNED: check}"
    assert not decisions(f"{table}\nSTEPS[Status(run.status)]")
