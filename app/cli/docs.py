"""The pages of `docs/` that the code itself knows: written by `make docs`, compared by `make check`.

Each generator gives a page's text, or None while the part it describes does not exist.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[2]
NOTICE = "<!-- Written by `make docs` from the code; change it there. -->\n"
BEGIN, END = "<!-- generated: lifecycle -->", "<!-- end -->"
BEGIN_PRECEDENCE = "<!-- generated: precedence -->"
BEGIN_CHECKS = "<!-- generated: checks -->"
BEGIN_NEEDS = "<!-- generated: needs -->"

Generator = Callable[[], str | None]


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["--routes"]:
        print(routes(), end="")
    elif arguments == ["--check"]:
        sys.exit(check())
    elif not arguments:
        write()
    else:
        sys.exit("usage: python -m app.cli.docs [--check | --routes]")


def write() -> None:
    for path, text in pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


def check() -> int:
    """1 if a page is not what the code would write now."""
    stale = [path for path, text in pages() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"fresh: {path.relative_to(ROOT)} is stale; run `make docs` and commit it.", file=sys.stderr)
    return 1 if stale else 0


def pages() -> Iterator[tuple[Path, str]]:
    for name, generator in PAGES.items():
        text = generator()
        if text is not None:
            yield ROOT / "docs" / name, text


def settings() -> str:
    """Every setting: its variable, its default, and what is written under its field."""
    from app.settings import PREFIX, Settings

    source = Path(sys.modules[Settings.__module__].__file__ or "").read_text(encoding="utf-8")
    sections = _sections(source)
    lines = [
        "# Settings",
        "",
        NOTICE,
        "Each is an environment variable. A secret can also be given as a file, by the variable's name with",
        "`_FILE` at its end, and everything as a line of a TOML file that `STATEROOM_CONFIG` names (there",
        "without the prefix, in small letters: `port = 8443`). The environment goes first.",
    ]
    for name, field in Settings.model_fields.items():
        if name in sections:
            lines += ["", f"## {sections[name]}"]
        text = re.sub(r"\s*\n\s*", " ", field.description or "").strip()
        facts = [_default(field)] if "Default:" not in text else []
        facts += ["Secret."] if "Secret" in str(field.annotation) else []
        lines += ["", f"### `{PREFIX}{name.upper()}`", "", "  ".join([text, *facts])]
    return "\n".join(lines) + "\n"


def api() -> str | None:
    """Every route of the API, and the attributes of every resource that can describe itself."""
    if not _exists("backend_api.routes"):
        return None
    rows = [f"| `{method}` | `{path}` | {_beyond(what)} |" for method, path, what in _described_routes()]
    table = ["| method | path | |", "|---|---|---|", *rows]
    return "\n".join(["# API", "", NOTICE, "## Routes", "", *table]) + "\n"


_HEAD = re.compile(r"[A-Z]+(?:, [A-Z]+)* (\S+?)[:,]?(?: |\Z)")


def _beyond(what: str) -> str:
    """What the first line of a route's handler says besides method and path, which stand beside it."""
    head = _HEAD.match(what)
    if head is None:
        return what
    query, said = head[1].partition("?")[2], what[head.end() :]
    return ", ".join(part for part in (f"`?{query}`" if query else "", said) if part)


def runs() -> str | None:
    """The page about runs, with the diagram of their life in its place."""
    if not _exists("app.runs.lifecycle"):
        return None
    from app.runs import lifecycle

    diagram = f"```mermaid\n{lifecycle.diagram().strip()}\n```"
    return _around("runs.md", "The life of a run", BEGIN, diagram)


def variables() -> str | None:
    """The page about variables, with the table of precedence in its place."""
    if not _exists("app.variables.precedence"):
        return None
    from app.variables.precedence import TABLE

    rows = [f"| {row.level} | {row.says} | {row.judge.value} |" for row in TABLE]
    table = ["| | where a variable comes from, the strongest first | who decides |", "|---|---|---|", *rows]
    return _around("variables.md", "Variables", BEGIN_PRECEDENCE, "\n".join(table))


def github() -> str | None:
    """The page about GitHub, with what the app asks for and what a check says in their places."""
    if not _exists("github_app.verdicts"):
        return None
    from github_app import needs
    from github_app.verdicts import ROWS

    asked = ["| permission or event | for | without it |", "|---|---|---|"]
    asked += [f"| `{one.name}`: {one.level} | {one.reason} | {one.without} |" for one in needs.PERMISSIONS]
    asked += [f"| event `{one.name}` | {one.reason} | {one.without} |" for one in needs.EVENTS]
    table = ["| run | check | title |", "|---|---|---|"]
    for status, row in ROWS.items():
        table.append(f"| `{status}` | {row.conclusion or row.status} | {row.title} |")
    page = _around("github.md", "GitHub", BEGIN_CHECKS, "\n".join(table))
    return _within(page, f"{BEGIN_NEEDS}\n" + "\n".join(asked) + f"\n{END}", BEGIN_NEEDS)


def _around(name: str, title: str, begin: str, generated: str) -> str:
    """The page as people wrote it, what is *generated* in its place."""
    page = ROOT / "docs" / name
    block = f"{begin}\n{generated}\n{END}"
    if not page.is_file():
        return f"# {title}\n\n{block}\n"
    return _within(page.read_text(encoding="utf-8"), block, begin)


def _within(text: str, block: str, begin: str) -> str:
    if begin not in text:
        return f"{text.rstrip()}\n\n{block}\n"
    before, _, rest = text.partition(begin)
    return before + block + rest.partition(END)[2]


def metrics() -> str:
    """Every metric, from the registry and the list of what the database is asked."""
    from app import measures
    from app.http import metrics as page

    ours = [family for family in page.registry.collect() if family.name.startswith("stateroom_")]
    rows = [(_exposed(family.name, family.type), family.type, family.documentation, "process") for family in ours]
    rows += [(name, "gauge", said, "database") for name, said in measures.OF_THE_DATABASE.items()]
    table = [f"| `{name}` | {kind} | {where} | {said} |" for name, kind, said, where in sorted(rows)]
    lines = [
        "# Metrics",
        "",
        NOTICE,
        "`/metrics` of the web shows the whole installation, in Prometheus' text format, to its own machine (unless it",
        "stands behind a proxy) and to who sends `STATEROOM_METRICS_TOKEN` as a bearer. What a *process* measures of",
        "itself is the web's own where there is no label `worker`; a worker reports its own with its sign of life,",
        "every `STATEROOM_LEASE_RENEW` seconds, and they appear with its name in `worker`, as long as it lives. What",
        "only the *database* knows is read at each scrape, so scrape one web process of several, or take the maximum.",
        "",
        "| metric | type | from | |",
        "|---|---|---|---|",
        *table,
        "",
        "Beside them the usual `process_…` and `python_info`.",
    ]
    return "\n".join(lines) + "\n"


def _exposed(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def routes() -> str:
    """One line for each route: what `make routes` prints."""
    return "".join(f"{method:<7} {path}\n" for method, path, _ in _described_routes())


def _described_routes() -> Iterator[tuple[str, str, str]]:
    from backend_api.routes import routes as declared

    for route in declared:
        what = (getattr(route.endpoint, "__doc__", None) or "").strip().splitlines()
        for method in sorted(set(route.methods or ("GET",)) - {"HEAD"}):
            yield method, route.path, what[0] if what else ""


def _sections(source: str) -> dict[str, str]:
    """The first field below each headline of the settings, and the headline."""
    found: dict[str, str] = {}
    headline = None
    for line in source.splitlines():
        if match := re.match(r"\s+# -- (.+?) -+$", line):
            headline = match[1].capitalize()
        elif headline and (match := re.match(r"    (\w+): ", line)):
            found[match[1]] = headline
            headline = None
    return found


def _default(field: FieldInfo) -> str:
    """What holds where nothing is set; a default that is not a plain value, the text must tell."""
    if field.default is None or field.default in ("", (), {}):
        return "Default: none."
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(default)
    return f"Default: `{str(default).lower() if isinstance(default, bool) else default}`."


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


PAGES: dict[str, Generator] = {
    "settings.md": settings,
    "api.md": api,
    "runs.md": runs,
    "metrics.md": metrics,
    "variables.md": variables,
    "github.md": github,
}


if __name__ == "__main__":
    main()
