from __future__ import annotations

import subprocess
from pathlib import Path

from bench.servers import end_those_on


def test_only_processes_with_files_of_the_directory_are_ended(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "data", tmp_path / "data-of-others"
    ours.mkdir()
    theirs.mkdir()
    with (ours / "log").open("wb") as our_log, (theirs / "log").open("wb") as their_log:
        left = subprocess.Popen(["sleep", "60"], stdout=our_log)
        other = subprocess.Popen(["sleep", "60"], stdout=their_log)
    try:
        assert end_those_on(ours) == 1
        assert left.wait(10) == -9
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
