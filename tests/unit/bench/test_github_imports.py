from __future__ import annotations

from bench import github_imports


def test_the_interpreter_says_which_modules_were_imported_and_how_long_each_took() -> None:
    modules = github_imports.imported_by("bench.figures")
    assert {"bench", "bench.figures", "statistics"} <= set(modules)
    assert all(took >= 0 for took in modules.values())
    assert [github_imports.is_part(name, "bench") for name in ("bench", "bench.figures", "benches")] == [
        True,
        True,
        False,
    ]
