"""A plan's JSON for those who may not see its secrets.

A sensitive value becomes another of the same JSON type, the same on both sides of a change if the real ones are equal
and different if they differ: with null instead, a CLI would show a changed secret as no change at all.
"""

from __future__ import annotations

from typing import Any

#: What stands for a sensitive value, and for another one it changed to.
_STAND_INS: dict[type, tuple[Any, Any]] = {
    str: ("(sensitive)", "(sensitive, changed)"),
    bool: (False, True),
    int: (0, 1),
    float: (0, 1),
    list: ([], ["(sensitive)"]),
    dict: ({}, {"(sensitive)": "(sensitive)"}),
}


def redacted(shown: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """What `json-output-redacted` answers, made of `terraform show -json` and `terraform providers schema -json`.

    The parts of *shown* that hold raw values without saying which are sensitive are not in it.
    """
    return {
        "plan_format_version": shown.get("format_version", ""),
        "provider_format_version": schemas.get("format_version", "1.0"),
        "resource_changes": [_change_of(item) for item in shown.get("resource_changes") or []],
        "resource_drift": [_change_of(item) for item in shown.get("resource_drift") or []],
        "relevant_attributes": shown.get("relevant_attributes") or [],
        "output_changes": {name: _redact(item) for name, item in (shown.get("output_changes") or {}).items()},
        "deferred_changes": [
            {**item, "resource_change": _change_of(item.get("resource_change") or {})}
            for item in shown.get("deferred_changes") or []
        ],
        "provider_schemas": schemas.get("provider_schemas") or {},
    }


def _change_of(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "change": _redact(item["change"])} if isinstance(item.get("change"), dict) else item


def _redact(change: dict[str, Any]) -> dict[str, Any]:
    before, after = _pair(
        change.get("before"), change.get("after"), change.get("before_sensitive"), change.get("after_sensitive")
    )
    return {**change, "before": before, "after": after}


def _pair(before: Any, after: Any, hide_before: Any, hide_after: Any) -> tuple[Any, Any]:
    """*before* and *after* with what the marks name replaced; a mark is true, or a container of marks."""
    if hide_before is True or hide_after is True:
        same = before == after and type(before) is type(after)
        return _stand_in(before, 0), _stand_in(after, 0 if same else 1)
    if not hide_before and not hide_after:
        return before, after
    if isinstance(before, dict) or isinstance(after, dict):
        return _pair_of_dicts(before, after, hide_before or {}, hide_after or {})
    if isinstance(before, list) or isinstance(after, list):
        return _pair_of_lists(before, after, hide_before or [], hide_after or [])
    return before, after


def _pair_of_dicts(before: Any, after: Any, hide_before: Any, hide_after: Any) -> tuple[Any, Any]:
    left = dict(before) if isinstance(before, dict) else before
    right = dict(after) if isinstance(after, dict) else after
    for key in {*_keys(hide_before), *_keys(hide_after)}:
        old, new = _pair(_at(before, key), _at(after, key), _at(hide_before, key), _at(hide_after, key))
        if isinstance(left, dict) and key in left:
            left[key] = old
        if isinstance(right, dict) and key in right:
            right[key] = new
    return left, right


def _pair_of_lists(before: Any, after: Any, hide_before: Any, hide_after: Any) -> tuple[Any, Any]:
    left = list(before) if isinstance(before, list) else before
    right = list(after) if isinstance(after, list) else after
    for index in range(max(len(_items(hide_before)), len(_items(hide_after)))):
        old, new = _pair(_nth(before, index), _nth(after, index), _nth(hide_before, index), _nth(hide_after, index))
        if isinstance(left, list) and index < len(left):
            left[index] = old
        if isinstance(right, list) and index < len(right):
            right[index] = new
    return left, right


def _stand_in(value: Any, which: int) -> Any:
    return None if value is None else _STAND_INS[type(value)][which]


def _keys(marks: Any) -> list[str]:
    return list(marks) if isinstance(marks, dict) else []


def _items(marks: Any) -> list[Any]:
    return marks if isinstance(marks, list) else []


def _at(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _nth(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list) and index < len(value) else None
