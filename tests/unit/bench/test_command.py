from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_make_bench_reaches_the_table() -> None:
    said = subprocess.run(["make", "bench", "ARGS=--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--row" in said.stdout
