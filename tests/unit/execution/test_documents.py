"""A plan's documents, as terraform printed them."""

from __future__ import annotations

from pathlib import Path

import orjson

from app.execution import results


def test_a_mark_that_a_build_prints_before_its_json_is_left_out(tmp_path: Path) -> None:
    shown = {"format_version": "0.1", "resource_changes": [], "output_changes": {}}
    printed = tmp_path / "plan.json"
    printed.write_bytes(b"o:" + orjson.dumps(shown))
    made = results.documents(printed, None, [])
    assert orjson.loads(made.plain) == shown
    assert orjson.loads(made.redacted)["plan_format_version"] == "0.1"
