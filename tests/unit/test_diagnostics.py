"""What a process writes when something goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import structlog

from app import diagnostics, worker
from app.cli import web_server
from app.settings import Settings


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_trace_shows_where_and_no_variable(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    diagnostics.configure(Settings(log_format=form))  # type: ignore[arg-type]

    def fail(hidden: str) -> None:
        raise ValueError(f"{len(hidden)} letters")

    try:
        fail("open-" + "sesame")
    except ValueError:
        structlog.get_logger().exception("a bug")
    written = capsys.readouterr().err
    assert "a bug" in written
    assert "in fail" in written
    assert "open-sesame" not in written


class Configured(Exception):
    """Raised instead of starting a process."""


@pytest.mark.parametrize("start", [worker.main, web_server.run])
def test_both_processes_write_that_way(start: Callable[[Settings], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(settings: Settings) -> None:
        raise Configured

    monkeypatch.setattr(diagnostics, "configure", seen)
    with pytest.raises(Configured):
        start(Settings())
