"""What a process writes when something goes wrong."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
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


def test_what_a_library_says_has_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        diagnostics.configure(Settings(log_format="json"))
        logging.getLogger("a.library").warning("it says %s\n2026-01-01 [info] and forges", "this")
    finally:
        root.handlers = before
        sys.excepthook = sys.__excepthook__
        logging.captureWarnings(False)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"]) == ("warning", "a.library")
    assert line["event"].startswith("it says this\n")


def test_no_message_writes_a_second_one(capsys: pytest.CaptureFixture[str]) -> None:
    diagnostics.configure(Settings(log_format="text"))
    structlog.get_logger().warning("one\n2026-01-01T00:00:00Z [info] two", name="x\n2026-01-01T00:00:00Z [info] three")
    first, *more = capsys.readouterr().err.splitlines()
    assert "one" in first
    assert all(line.startswith("  ") for line in more)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_no_address_of_a_request_is_written_at_any_level(library: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, root.handlers, level = root.handlers, [], root.level
    try:
        diagnostics.configure(Settings(log_level="debug", log_format="text"))
        with library.Client(transport=library.MockTransport(lambda _: library.Response(200))) as client:
            client.get("https://codeload.github.com/acme/net/legacy.tar.gz/main?token=canary")
        for name in ("httpcore.http11", "httpcore2.http11", "hishel.core.spec", "githubkit"):
            logging.getLogger(name).debug("asked /app-manifests/%s/conversions", "canary")
        logging.getLogger("a.library").debug("written")
    finally:
        root.handlers = before
        root.setLevel(level)
        logging.captureWarnings(False)
    written = capsys.readouterr().err
    assert "written" in written
    assert "canary" not in written
