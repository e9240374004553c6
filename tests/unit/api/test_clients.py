"""A terraform of a version that was never tried is noticed, once."""

from __future__ import annotations

import pytest
import structlog

from backend_api import clients
from tests.clients.clients import CLIENTS


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_noticed", set())


def test_what_is_known_to_work_is_what_was_measured() -> None:
    """The oldest may have limits: `make test-clis` says which."""
    tried = [client.numbers[:2] for client in CLIENTS if not client.is_client_only or client.is_library]
    assert (min(tried), max(tried)) == clients.KNOWN


@pytest.mark.parametrize("version", ["0.11.14", "1.16.0-rc2", "2.0.0"])
def test_a_version_that_was_not_tried_is_told_once(version: str) -> None:
    with structlog.testing.capture_logs() as told:
        clients.notice(version)
        clients.notice(version)
    assert [(line["log_level"], line["terraform"], line["tried"]) for line in told] == [
        ("warning", version, "0.12 to 1.15")
    ]


@pytest.mark.parametrize("version", [None, "", "0.12.29", "1.11.4", "1.15.9+ent", "my terraform", "1" * 5000])
def test_what_was_tried_or_is_no_version_is_no_news(version: str | None) -> None:
    with structlog.testing.capture_logs() as told:
        clients.notice(version)
    assert told == []


def test_a_client_that_makes_versions_up_fills_neither_log_nor_memory() -> None:
    with structlog.testing.capture_logs() as told:
        for number in range(1000):
            clients.notice(f"9.{number}.0")
    assert len(told) == 100
