"""What every test may ask for: the two sets of parts.  The summary of a run counts the tests on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tortoise.filters import FilterInfoDict
from tortoise.models import MetaInfo

from app import settings
from app.workspaces import versions
from tests.services import Embedded, External, Parts, Services

LABELS = {Embedded.name: Embedded.label, External.name: External.label}
PARTS = "parts"
PROGRAMS = "programs"


def _known_filters() -> None:
    """Let Tortoise work out once for each database what can be asked of each model: it does so whenever somebody
    connects, 25 ms for all of ours, and here every test connects."""
    work_out: Callable[[MetaInfo], None] = MetaInfo._generate_filters
    known: dict[tuple[MetaInfo, type], dict[str, FilterInfoDict]] = {}

    def recall(meta: MetaInfo) -> None:
        key = (meta, meta.db.executor_class)
        if key not in known:
            work_out(meta)
            known[key] = dict(meta.filters)
        meta.filters.update(known[key])

    MetaInfo._generate_filters = recall  # type: ignore[assignment, method-assign]


_known_filters()


@pytest.fixture(autouse=True)
def _no_settings_of_another_test() -> Iterator[None]:
    """What one test loaded is not in force in the next one."""
    yield
    settings._current = None
    versions.configure(None)


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The servers, each started when it is first asked for.  A server that does not start fails its tests."""
    services = Services()
    yield services
    services.stop()


@pytest.fixture(params=[Embedded.name, External.name])
def parts(
    request: pytest.FixtureRequest, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Parts]:
    """A database, a queue and an object store of this test's own; the test runs once on each set.

    Nothing is connected, and the database is empty.  `parametrize("parts", ["embedded"], indirect=True)`
    keeps a test to one set.
    """
    parts: Parts
    if request.param == External.name:
        parts = External(services, monkeypatch.setenv)
    else:
        parts = Embedded(services, tmp_path)
    request.node.user_properties.append((PARTS, request.param))
    yield parts
    parts.close()
    request.node.user_properties.append((PROGRAMS, services.programs()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name both sets, so that a run on one alone is seen to be one."""
    tests: Counter[str] = Counter()
    programs: dict[str, str] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport):
                continue
            for name, value in report.user_properties:
                if name == PARTS and report.when == "call":
                    tests[str(value)] += 1
                elif name == PROGRAMS and isinstance(value, dict):
                    programs |= value
    if tests:
        counts = ", ".join(f"{label} {tests[name]} tests" for name, label in LABELS.items())
        terminalreporter.write_line(f"parts: {counts}")
    if programs:
        terminalreporter.write_line("       " + ", ".join(sorted(set(programs.values()))))
