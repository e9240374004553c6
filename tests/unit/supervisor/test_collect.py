from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.supervisor.collect import Refused, exists_inside, open_inside, read_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("host secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("host secret")
    root = tmp_path / "run"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "file").write_text("content")
    return root


def test_a_regular_file_is_opened(root: Path) -> None:
    with open_inside(root, "deep/er/file") as file:
        assert file.read() == b"content"
    assert exists_inside(root, "deep/er/file")


def test_a_link_in_the_files_place_is_refused(root: Path) -> None:
    (root / "plan").symlink_to("../secret")
    with pytest.raises(Refused):
        open_inside(root, "plan")


def test_a_file_exchanged_for_a_link_after_the_first_look_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "plan").write_text("content")
    look = os.stat

    def exchange(name: str, **options: Any) -> os.stat_result:
        found = look(name, **options)
        (root / "plan").unlink()
        (root / "plan").symlink_to("../secret")
        return found

    with monkeypatch.context() as patch:
        patch.setattr("app.supervisor.collect.os.stat", exchange)
        with pytest.raises(Refused):
            open_inside(root, "plan")


def test_a_link_in_the_place_of_a_directory_is_refused(root: Path) -> None:
    (root / "state").symlink_to("../outside")
    with pytest.raises(Refused):
        open_inside(root, "state/file")


def test_a_pipe_is_refused_without_waiting_for_it(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(Refused):
        open_inside(root, "pipe")


def test_a_directory_is_refused(root: Path) -> None:
    with pytest.raises(Refused):
        open_inside(root, "deep")


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "deep/../../secret", "", "."])
def test_a_path_that_leads_out_is_refused(root: Path, path: str) -> None:
    with pytest.raises(Refused):
        open_inside(root, path)


def test_what_is_not_there_is_not_found(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_inside(root, "deep/nothing")
    assert not exists_inside(root, "deep/nothing")


def test_what_is_too_long_is_refused(root: Path) -> None:
    assert read_inside(root, "deep/er/file", limit=7) == b"content"
    with pytest.raises(Refused):
        read_inside(root, "deep/er/file", limit=6)


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "plan").symlink_to("../secret")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("plan", "deep/nothing", "deep/er/file/none", "deep/er/file"):
        try:
            open_inside(root, path).close()
        except (Refused, FileNotFoundError):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
