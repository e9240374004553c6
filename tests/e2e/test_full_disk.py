"""A worker whose disk fills up: the run says so, the worker lives on, and the next run works once there is room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.site import OneRun, Site, plain
from tests.e2e.up import Up, eventually, furnished

MiB = 1024 * 1024
ROOM = 16 * MiB

ONE = 'resource "terraform_data" "one" {}\n'
#: A plan that takes ten seconds, and fails.
SLOW = """
data "terraform_remote_state" "never" {
  backend = "http"
  config  = { address = "http://127.0.0.1:1/", retry_max = 1, retry_wait_min = 10 }
}
"""


@pytest.fixture
def up(tmp_path: Path, migrated_database: Path) -> Iterator[Up]:
    """A server whose working directories lie on a small disk of its own, in a mount namespace of its own."""
    data = tmp_path / "data"
    runs = data / "runs"
    runs.mkdir(parents=True, mode=0o700)
    data.chmod(0o700)
    furnished(data, migrated_database)
    is_root = os.geteuid() == 0
    small_disk = [
        *("unshare", "--mount", *([] if is_root else ["--map-current-user", "--keep-caps"]), "sh", "-c"),
        *(f'mount -t tmpfs -o size={ROOM},mode=711 small "$0" && exec "$@"', str(runs)),
        *([] if is_root else ["setpriv", "--inh-caps=-all", "--ambient-caps=-all"]),
    ]
    up = Up(data, before=small_disk)
    try:
        yield up.wait_until_ready()
        assert up.stop() == 0, up.said()
    finally:
        up.end()


def test_a_run_that_finds_the_disk_full_says_so_and_the_next_one_works(up: Up) -> None:
    site = Site(up)
    workspace = site.make_workspace("full")
    assert eventually(lambda: "worker" in up.children())
    worker = up.children()["worker"]

    says_so(site.start(workspace, {"main.tf": ONE, "large": os.urandom(ROOM)}), "The worker's disk is full")

    run = site.start(workspace, {"main.tf": SLOW})
    run.follow("plan").until("terraform_remote_state.never: Reading...")
    ballast = Path(f"/proc/{worker}/root{up.data}/runs/ballast")
    fill(ballast)
    said = says_so(run, "terraform plan failed on a full disk")
    assert "Error: " in said.partition("Reading...")[2].partition("failed on a full disk")[0], "all that terraform said"
    ballast.unlink()

    again = site.start(workspace, {"main.tf": ONE}, auto_apply=True)
    assert again.ends() == "applied"
    assert site.resources(workspace) == ["one"]
    assert up.children()["worker"] == worker


def says_so(run: OneRun, sentence: str) -> str:
    """*run* ends errored, its failure and its log name the cause and the remedy; its log."""
    assert run.ends() == "errored"
    said = plain(run.follow("plan").whole()).decode()
    for text in (run.site.call("GET", f"/runs/{run.id}")["attributes"]["failure"], said):
        assert sentence in text
        assert "Free some space below the worker's data directory" in text
    return said


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (MiB, 4096):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    assert os.statvfs(path.parent).f_bavail == 0
