from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from app.supervisor.control import LOG, POKE
from app.supervisor.masking import Masker
from app.supervisor.spool import Spool


def make(tmp_path: Path, *, room: int = 10_000, secrets: tuple[str, ...] = ()) -> tuple[Spool, Path]:
    return Spool(tmp_path, Masker(secrets), room=room), tmp_path / LOG


def test_a_character_split_over_two_writes_arrives_whole(tmp_path: Path) -> None:
    spool, log = make(tmp_path, secrets=("passwörter",))
    for byte in "größe 日本 ✓".encode():
        spool.write(bytes([byte]))
    assert log.read_text() == "größe 日本 ✓"
    assert spool.length == len(log.read_bytes())


def test_a_secret_split_over_two_writes_is_masked(tmp_path: Path) -> None:
    spool, log = make(tmp_path, secrets=("hunter2-hunter2",))
    spool.write(b"it is hunter2-")
    assert log.read_text() == "it is "
    spool.write(b"hunter2 indeed\n")
    assert log.read_text() == "it is (sensitive) indeed\n"
    assert spool.masked == 1


@pytest.mark.parametrize("room", range(20, 30))
def test_a_log_at_its_limit_says_so_once_and_splits_no_character(tmp_path: Path, room: int) -> None:
    spool, log = make(tmp_path, room=room)
    for _ in range(10):
        spool.write("日本語 ✓ ".encode())
    text = log.read_text()
    kept, _, farewell = text.partition("\n\n")
    assert "日本語 ✓ 日本語 ✓ 日本語 ✓ ".startswith(kept)
    assert room - 4 < len(kept.encode()) <= room
    assert farewell == "This log has reached its limit. What follows is not kept; the run itself goes on.\n"


def test_who_watches_is_poked_for_each_write_however_long_the_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    spool, _ = make(deep)
    spool.write(b"nobody there\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as watcher:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(deep)
            watcher.bind(POKE)
        watcher.settimeout(5)
        spool.write(b"somebody there\n")
        assert watcher.recv(16) == b"!"


def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on nothing can be written, until what is returned is called."""
    write = os.write

    def refused(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refused)
    return lambda: monkeypatch.setattr(os, "write", write)


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, _ = make(tmp_path)
    spool.write(b"before\n")
    make_room = full_disk(monkeypatch)
    spool.write(b"while\n")
    spool.flush()
    assert "No space left" in spool.trouble
    make_room()
    spool.write(b"after\n")
    spool.flush()
    assert (tmp_path / "log").read_bytes() == b"before\nwhile\nafter\n"
    assert spool.trouble == ""


def test_a_disk_full_for_too_long_leaves_a_line_where_something_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.supervisor.spool.BACKLOG", 20)
    spool, _ = make(tmp_path)
    make_room = full_disk(monkeypatch)
    for number in range(5):
        spool.write(b"%d kept or not\n" % number)
    spool.flush()
    make_room()
    spool.write(b"after\n")
    spool.flush()
    written = (tmp_path / "log").read_bytes()
    assert written.startswith(b"0 kept or not\n")
    assert written.count(b"Part of the log is missing here") == 1
    assert written.endswith(b"after\n")
    assert b"1 kept" not in written
