from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from bench import table
from bench.figures import Effort, Figure, Goal


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows: one misses its goal, the other fails to run."""

    def missed(effort: Effort) -> list[Figure]:
        return [Figure("slow", 4 if effort.quick else 5, "s", Goal(3))]

    def broken(effort: Effort) -> list[Figure]:
        raise OSError("no port is free")

    modules = {"bench.second_start": missed, "bench.get_run": broken}
    monkeypatch.setattr(table.importlib, "import_module", lambda name: SimpleNamespace(measure=modules[name]))


@pytest.mark.usefixtures("rows")
def test_a_missed_goal_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["--row", "second_start"]) == 0
    assert "NO" in capsys.readouterr().out


@pytest.mark.usefixtures("rows")
def test_a_row_that_cannot_run_is_one_and_the_others_run_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert table.main(["--row", "get_run", "--row", "second_start"]) == 1
    said = capsys.readouterr()
    assert "get_run failed: OSError: no port is free" in said.out
    assert "5.00 s" in said.out
    assert "Traceback" in said.err


@pytest.mark.usefixtures("rows")
def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    table.main(["--json", "--quick", "--row", "second_start"])
    document = json.loads(capsys.readouterr().out)
    assert document["quick"] is True
    [figure] = document["rows"][0]["figures"]
    assert (figure["ours"], figure["goal"], figure["reached"], figure["ratio"]) == (
        4,
        "≤ 3.00 s",
        False,
        None,
    )


def test_every_row_has_a_module_and_a_paragraph() -> None:
    from pathlib import Path

    bench = Path(table.__file__).parent
    documented = (bench.parent / "docs" / "benchmarks.md").read_text()
    assert [row for row in table.ROWS if not (bench / f"{row}.py").exists()] == []
    assert [row for row in table.ROWS if f"### {row}: " not in documented] == []
