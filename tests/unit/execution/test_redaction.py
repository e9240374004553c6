"""A plan's JSON without what is sensitive, and still telling what changes."""

from __future__ import annotations

from typing import Any

import pytest

from app.execution.redaction import redacted


def change(before: Any, after: Any, hide_before: Any, hide_after: Any) -> tuple[Any, Any]:
    """*before* and *after* of one resource as the redacted document has them."""
    shown = {
        "resource_changes": [
            {
                "mode": "managed",
                "change": {
                    "actions": ["update"],
                    "before": before,
                    "after": after,
                    "before_sensitive": hide_before,
                    "after_sensitive": hide_after,
                },
            }
        ]
    }
    found = redacted(shown, {})["resource_changes"][0]["change"]
    return found["before"], found["after"]


@pytest.mark.parametrize("value", ["secret", 5, 2.5, True, ["a"], {"a": 1}])
def test_equal_values_stay_equal_and_keep_their_type(value: Any) -> None:
    before, after = change({"a": value}, {"a": value}, {"a": True}, {"a": True})
    assert before == after
    assert type(before["a"]) in (type(value), int)
    assert before["a"] != value


@pytest.mark.parametrize(("old", "new"), [("a", "b"), (1, 2), (True, False), (["a"], ["b"]), ({"a": 1}, {"a": 2})])
def test_different_values_stay_different(old: Any, new: Any) -> None:
    before, after = change({"a": old}, {"a": new}, {"a": True}, {"a": True})
    assert before != after
    assert "b" not in str(after["a"])


def test_a_value_hidden_on_one_side_is_hidden_on_both() -> None:
    before, after = change({"a": "x1"}, {"a": "x2"}, {}, {"a": True})
    assert (before["a"], after["a"]) == ("(sensitive)", "(sensitive, changed)")


def test_null_stays_null_and_what_is_not_marked_stays() -> None:
    before, after = change(None, {"a": "x", "b": [1, "two"]}, False, {"a": True, "b": [False, True]})
    assert before is None
    assert after == {"a": "(sensitive, changed)", "b": [1, "(sensitive, changed)"]}


def test_outputs_and_drift_are_walked_and_raw_parts_left_out() -> None:
    hidden = {"before": None, "after": "s3cret", "before_sensitive": False, "after_sensitive": True}
    shown = {
        "format_version": "1.2",
        "output_changes": {"o": hidden},
        "resource_drift": [{"change": hidden}],
        "prior_state": "s3cret",
        "planned_values": "s3cret",
        "variables": "s3cret",
    }
    document = redacted(shown, {"format_version": "1.0", "provider_schemas": {"p": {}}})
    assert "s3cret" not in str(document)
    assert document["plan_format_version"] == "1.2"
    assert document["provider_format_version"] == "1.0"
    assert document["provider_schemas"] == {"p": {}}


def test_nothing_given_is_changed() -> None:
    shown = {"output_changes": {"o": {"before": ["x"], "after": ["y"], "after_sensitive": [True]}}}
    redacted(shown, {})
    assert shown["output_changes"]["o"]["after"] == ["y"]
