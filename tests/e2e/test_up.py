from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.up import Up, eventually, processes_on

Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server on `data` below the test's directory; whatever is left of it is ended."""
    started: list[Up] = []

    def begin(*options: str, ready: bool = True, **settings: str) -> Up:
        up = Up(tmp_path / "data", *options, **settings)
        started.append(up)
        return up.wait_until_ready() if ready else up

    yield begin
    for up in started:
        up.end()
    left = tmp_path / "data"
    assert eventually(lambda: processes_on(left) == []), processes_on(left)


def refusal(up: Up) -> str:
    """What a server says that does not start."""
    assert up.process.wait(60) == 1, up.said()
    assert up.process.stdout is not None
    assert up.process.stdout.read() == b""
    assert "Traceback" not in up.said()
    return up.said()


def test_a_stock_terraform_applies_with_what_up_and_env_give(start: Start, tmp_path: Path) -> None:
    up = start()
    directory = up.configure(tmp_path / "configuration", "first")
    up.must(directory, "init", "-no-color")
    said = up.must(directory, "apply", "-auto-approve", "-no-color")
    assert "Apply complete! Resources: 1 added, 0 changed, 0 destroyed." in said
    assert up.must(directory, "output", "-raw", "said") == "one"
    assert up.stop() == 0
    assert processes_on(up.data) == []


def test_every_file_is_private(start: Start) -> None:
    up = start()
    for name in ("terraformrc", "admin-token", "ca.pem", "ca-bundle.pem", "keys.json", "stateroom.sqlite3"):
        assert stat.S_IMODE((up.data / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(up.data.stat().st_mode) == 0o700


def test_the_first_start_makes_an_admin_who_owns_the_organization(start: Start) -> None:
    up = start("--org", "acme")
    assert up.get("/api/v2/account/details")["data"]["attributes"]["username"] == "admin"
    assert up.get("/api/v2/organizations/acme")["data"]["attributes"]["name"] == "acme"
    assert up.stop() == 0  # the link is printed right after `ready`
    assert f"{up.url}/login/once/" in up.said()


def test_a_second_start_keeps_everything_and_prints_no_link(start: Start) -> None:
    first = start()
    token = (first.data / "admin-token").read_text()
    assert first.stop() == 0
    links = first.said().count("/login/once/")
    second = start()
    assert (second.data / "admin-token").read_text() == token
    assert second.get("/api/v2/organizations/main")["data"]["attributes"]["name"] == "main"
    assert second.said().count("/login/once/") == links


def test_a_second_instance_is_refused_and_harms_nothing(start: Start) -> None:
    first = start()
    second = start(ready=False)
    assert f"Another stateroom (process {first.process.pid}) runs on {first.data}" in refusal(second)
    assert first.get("/api/v2/organizations/main")


@pytest.mark.parametrize("name", ["valkey", "web", "worker"])
def test_each_process_killed_alone_comes_back(start: Start, tmp_path: Path, name: str) -> None:
    up = start()
    assert eventually(lambda: set(up.children()) == {"valkey", "web", "worker"}), up.children()
    killed = up.children()[name]
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: up.children().get(name, killed) != killed), up.said()
    directory = up.configure(tmp_path / "configuration", "first")
    up.must(directory, "init", "-no-color")
    assert "Apply complete!" in up.must(directory, "apply", "-auto-approve", "-no-color")
    assert up.stop() == 0
    assert processes_on(up.data) == []


@pytest.mark.parametrize("whole_group", [False, True], ids=["up", "group"])
def test_kill_9_leaves_nothing_and_the_next_start_works(start: Start, whole_group: bool) -> None:
    up = start()
    if whole_group:
        os.killpg(up.process.pid, signal.SIGKILL)
    else:
        up.process.kill()
    up.process.wait()
    again = start("--port", up.host.rpartition(":")[2])
    assert again.get("/api/v2/organizations/main")
    assert again.stop() == 0
    assert processes_on(up.data) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_stops_cleanly(start: Start, number: int) -> None:
    up = start()
    assert up.stop(number) == 0
    assert processes_on(up.data) == []


def test_a_wrong_key_file_is_refused_and_changes_nothing(start: Start, tmp_path: Path) -> None:
    assert start().stop() == 0
    keys = tmp_path / "data" / "keys.json"
    right = keys.read_text()
    other = Up(tmp_path / "other").wait_until_ready()
    other.end()
    keys.write_text((tmp_path / "other" / "keys.json").read_text())
    wrong = start(ready=False)
    assert "is not the one this database was encrypted with" in refusal(wrong)
    keys.write_text(right)
    assert start().get("/api/v2/organizations/main")


def test_a_missing_key_file_is_not_replaced(start: Start, tmp_path: Path) -> None:
    assert start().stop() == 0
    keys = tmp_path / "data" / "keys.json"
    keys.unlink()
    assert "keys.json is not there. Put it back" in refusal(start(ready=False))
    assert not keys.exists()


def test_a_database_of_a_newer_version_is_refused(start: Start, tmp_path: Path) -> None:
    assert start().stop() == 0
    with closing(sqlite3.connect(tmp_path / "data" / "stateroom.sqlite3")) as connection, connection:
        connection.execute(
            "INSERT INTO tortoise_migrations (app, name, applied_at) "
            "SELECT app, '9999_from_the_future', applied_at FROM tortoise_migrations LIMIT 1"
        )
    assert "migrated by a newer version of Stateroom (9999_from_the_future" in refusal(start(ready=False))


def test_no_tls_serves_loopback_in_plain_text(start: Start, tmp_path: Path) -> None:
    up = start("--no-tls")
    assert up.url.startswith("http://localhost:")
    directory = up.configure(tmp_path / "configuration", "plain")
    up.must(directory, "init", "-no-color")
    assert "Plan: 1 to add" in up.must(directory, "plan", "-no-color")


def test_health_tells_that_everything_is_there(start: Start) -> None:
    up = start()
    assert eventually(lambda: up.get("/health")["status"] == "ok"), json.dumps(up.get("/health"))
