"""What GitHub shows of a plan: whole, within its limits, and never a secret."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from github_app import markdown, plan_changes, plan_report
from github_app.plan_changes import Kind
from github_app.plan_report import About, Report

ABOUT = About("network-prod", "https://s.example/run", "a" * 40, "b" * 40, 41, "1.13.2", "https://s.example/all", 2)


#: What stands beside a change, not in it.
BESIDE = {"previous_address", "deposed", "mode"}


def changed(address: str, actions: list[str], before: Any = None, after: Any = None, **given: Any) -> dict[str, Any]:
    beside: dict[str, Any] = {key: given.pop(key) for key in [*given] if key in BESIDE}
    change = {"actions": actions, "before": before, "after": after, **given}
    return {"address": address, "mode": "managed", **beside, "change": change}


def report(*entries: dict[str, Any], counts_only: bool = False, **plan: Any) -> Report:
    changes = plan_changes.read({"resource_changes": list(entries), **plan})
    return plan_report.of_plan(changes, ABOUT, counts_only=counts_only)


PLAN = (
    changed('aws_subnet.new["a"]', ["create"], None, {"cidr": "10.0.0.0/24"}, after_unknown={"id": True}),
    changed("aws_lb.front", ["update"], {"name": "a", "idle": 60}, {"name": "b", "idle": 60}),
    changed("aws_db_instance.main", ["delete", "create"], {"v": 1}, {"v": 2}, replace_paths=[["engine_version"]]),
    changed("aws_subnet.old[0]", ["delete"], {"cidr": "10.0.1.0/24"}),
    changed("aws_s3_bucket.same", ["no-op"], {"a": 1}, {"a": 1}),
    changed("data.aws_ami.x", ["read"], None, {}, mode="data"),
)


def test_the_worst_comes_first_and_the_counts_before_all() -> None:
    made = report(*PLAN)
    assert made.title == "+2 ~1 -2 · 1 replaced"
    assert made.summary == (
        "**Plan: 2 to add, 1 to change, 2 to destroy** in `network-prod` · [open run](https://s.example/run) · 41 s"
        " · Terraform 1.13.2\n\n"
        "> [!WARNING]\n> 1 resource will be destroyed, 1 replaced.\n\n"
        "| | Resource | |\n|--|--|--|\n"
        "| ➖ | `aws_subnet.old[0]` | destroy |\n"
        "| 🔁 | `aws_db_instance.main` | replace: `engine_version` |\n"
        "| ✏️ | `aws_lb.front` | 1 attribute |\n"
        '| ➕ | `aws_subnet.new["a"]` | create |\n\n'
        "Commit aaaaaaa on base bbbbbbb · 2 more workspaces: [all results](https://s.example/all)"
    )
    assert made.text is not None
    assert '- name = "a"\n+ name = "b"' in made.text
    assert "idle" not in made.text
    assert "+ id = (known after apply)" in made.text


def test_nothing_to_do_is_one_line() -> None:
    made = report(PLAN[4], PLAN[5])
    assert (made.title, made.text) == ("No changes", None)
    assert "|" not in made.summary


@pytest.mark.parametrize(
    ("entry", "kind", "title"),
    [
        (changed("a.b", ["create", "delete"], {}, {}), Kind.REPLACE, "+1 ~0 -1 · 1 replaced"),
        (changed("a.b", ["delete"], {}, None), Kind.DELETE, "+0 ~0 -1 · ⚠ 1 destroyed"),
        (changed("a.b", ["forget"], {}, None), Kind.FORGET, "+0 ~0 -0"),
        (changed("a.b", ["no-op"], {}, {}, importing={"id": "x"}), Kind.IMPORT, "+0 ~0 -0 · 1 imported"),
        (changed("a.b", ["update"], {}, {}, importing={"id": "x"}), Kind.UPDATE, "+0 ~1 -0 · 1 imported"),
        (changed("a.b", ["no-op"], {}, {}, previous_address="a.c"), Kind.MOVE, "+0 ~0 -0"),
        (changed("a.b", ["delete"], {}, None, deposed="01ab"), Kind.DELETE, "+0 ~0 -1 · ⚠ 1 destroyed"),
    ],
)
def test_every_kind_of_change_is_told(entry: dict[str, Any], kind: Kind, title: str) -> None:
    [found] = plan_changes.read({"resource_changes": [entry]}).resources
    assert found.kind is kind
    assert report(entry).title == title


def test_outputs_alone_are_told() -> None:
    made = report(output_changes={"ip": {"actions": ["update"]}, "same": {"actions": ["no-op"]}})
    assert made.title == "Outputs change"
    assert "`ip`" in made.summary
    assert "same" not in made.summary


@pytest.mark.parametrize(
    ("before", "after", "marks"),
    [
        ({"p": "hush1"}, {"p": "hush2"}, {"before_sensitive": {"p": True}, "after_sensitive": {"p": True}}),
        ({"p": "hush1"}, {"p": "hush2"}, {"before_sensitive": True, "after_sensitive": True}),
        ({"a": [{"p": "hush1"}]}, {"a": [{"p": "hush2"}]}, {
            "before_sensitive": {"a": [{"p": True}]}, "after_sensitive": {"a": [{"p": True}]}}),
        ({"a": {"x": "hush1"}}, None, {"before_sensitive": {"a": True}, "after_sensitive": False}),
        ({"a": ["hush1"]}, {"a": []}, {"before_sensitive": {"a": [True]}, "after_sensitive": {}}),
    ],
)  # fmt: skip
def test_what_is_sensitive_is_nowhere(before: Any, after: Any, marks: dict[str, Any]) -> None:
    actions = ["update"] if after is not None else ["delete"]
    made = report(changed("a.b", actions, before, after, **marks))
    assert "hush" not in f"{made}"
    if before != after and isinstance(marks["before_sensitive"], dict):
        assert "(sensitive value)" in str(made.text)


def test_counts_alone_say_nothing_else() -> None:
    made = report(*PLAN, counts_only=True)
    assert made.text is None
    assert "aws_" not in made.summary
    assert "2 to destroy" in made.summary
    failed = plan_report.of_failure("hush: no such thing", ABOUT, counts_only=True)
    assert "hush" not in f"{failed}"


def test_a_large_plan_keeps_its_table_and_says_what_it_left_out() -> None:
    many = [changed(f"a.b[{n}]", ["update"], {"x": "é" * 500}, {"x": "ü" * 500}) for n in range(5_000)]
    made = report(*many)
    assert made.title == "+0 ~5000 -0"
    assert "and 4975 more" in made.summary
    assert made.text is not None
    shown = re.search(r"\*\*(\d+) of 5000 resources shown\. \[Full plan\]", made.text)
    assert shown is not None
    assert 20 < int(shown[1]) == made.text.count("<details>")


HOSTILE = st.text(
    st.sampled_from("ab`|<>@#\n\r\t*_[](){}\\!~&:/\x1b\x00\u202e\u200b\ud83dé𝄞") | st.characters(), max_size=60
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=8,
)
ACTIONS = st.sampled_from([["create"], ["update"], ["delete"], ["delete", "create"], ["forget"], ["no-op"]])
ENTRIES = st.builds(
    lambda address, actions, before, after: changed(address, actions, before, after),
    HOSTILE,
    ACTIONS,
    st.dictionaries(HOSTILE, VALUES, max_size=4),
    st.dictionaries(HOSTILE, VALUES, max_size=4),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ENTRIES, max_size=8), st.integers(1, 150))
def test_any_plan_fits_and_everything_opened_is_closed(entries: list[dict[str, Any]], times: int) -> None:
    made = report(*entries * times)
    assert len(made.title) <= plan_report.MOST_TITLE
    for part in (made.summary, made.text or ""):
        assert len(part) <= 65_535
        assert len(part.encode()) <= 65_535  # also: no lone surrogate is left
        assert is_balanced(part)
        assert not set(part) & set("\x1b\x00\u202e")


@given(HOSTILE, HOSTILE)
def test_a_failure_fits_too(sentence: str, workspace: str) -> None:
    about = About(workspace, "https://s.example/run", "a" * 40)
    made = plan_report.of_failure(sentence * 500, about)
    assert 0 < len(made.title) <= plan_report.MOST_TITLE
    assert len(made.summary.encode()) <= 65_535
    assert is_balanced(made.summary)


@given(HOSTILE)
def test_no_text_gets_out_of_its_span(text: str) -> None:
    span = markdown.code(text)
    ticks = re.match(r"`+", span)
    assert ticks is not None
    inside = span[len(ticks[0]) : -len(ticks[0])]
    assert ticks[0] not in re.findall(r"`+", inside)
    assert "\n" not in span
    assert "|" not in markdown.cell(text).replace("\\|", "")
    assert "<" not in markdown.html(text).removeprefix("<code>").removesuffix("</code>")


def is_balanced(text: str) -> bool:
    """Every fence is closed by its like, and outside of fences every fold."""
    fence: str | None = None
    depth = 0
    for line in text.split("\n"):
        opening = re.match(r"(`{3,})(diff)?$", line)
        if fence is not None:
            fence = None if line == fence else fence
        elif opening:
            fence = opening[1]
        else:
            depth += line.count("<details>") - line.count("</details>")
    return fence is None and depth == 0
