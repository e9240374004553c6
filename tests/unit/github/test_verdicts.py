"""A run's status says what its check says; the checks of workspaces say what their organization's says."""

from __future__ import annotations

import json

import pytest

from app.runs import lifecycle
from app.runs.models import Plan, Run
from app.runs.statuses import Status
from github_app import verdicts
from github_app.verdicts import ROWS, Result, Verdict

CONCLUSIONS = {"success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"}


def made(status: str, **given: object) -> Verdict:
    plan = Plan(resource_additions=3, resource_changes=1, resource_destructions=2, resource_imports=0)
    return verdicts.of_run(Run(status=status, **given), plan, canceled_by=None)


def test_every_status_has_its_row() -> None:
    assert set(ROWS) == set(Status)


def test_every_row_is_what_github_takes() -> None:
    for status, row in ROWS.items():
        assert row.is_final == (row.status == "completed") == (row.conclusion in CONCLUSIONS), status
        assert row.status in ("queued", "in_progress", "completed"), status
        assert 0 < len(row.title) <= 80, status
        assert len(row.buttons) <= 3, status


def test_a_run_that_has_ended_has_a_check_that_has_ended() -> None:
    for status in Status:
        run = Run(status=status)
        # a saved plan waits for nobody on GitHub
        assert ROWS[status].is_final == (lifecycle.is_final(run) or status == "planned_and_saved"), status


def test_buttons_fit() -> None:
    for name, button in verdicts.BUTTONS.items():
        assert button["identifier"] == name
        assert len(button["label"]) <= 20, name
        assert len(button["description"]) <= 40, name
        assert len(button["identifier"]) <= 20, name


def test_the_counts_are_the_title() -> None:
    assert made("planned_and_finished", has_changes=True).title == "+3 ~1 -2"
    assert made("planned_and_finished").title == "No changes"
    assert made("planned_and_finished", has_changes=True).result is Result.CHANGED


def test_who_cancelled_is_told() -> None:
    run = Run(status="canceled")
    assert verdicts.of_run(run, None, canceled_by="alice").title == "Cancelled by alice"
    assert verdicts.of_run(run, None, canceled_by=None).title == verdicts.CANCELED_BY_NOBODY


def test_a_verdict_is_read_as_it_was_kept() -> None:
    for row in ROWS.values():
        kept = json.loads(json.dumps(row.as_json()))
        assert kept == row.as_json()
        assert Verdict.from_json(kept) == row


def of_all(*results: Result, is_settled: bool = True) -> tuple[str | None, str]:
    said = verdicts.of_all(
        [Verdict("queued" if r is Result.UNDER_WAY else "completed", None, "", r) for r in results],
        is_settled=is_settled,
    )
    return said.conclusion, said.title


CHANGED, SAME, FAILED = Result.CHANGED, Result.UNCHANGED, Result.FAILED
CANCELLED, WAITING, PASSED = Result.CANCELLED, Result.WAITING, Result.PASSED


@pytest.mark.parametrize(
    ("results", "conclusion", "title"),
    [
        ((), "success", "No affected workspaces"),
        ((CHANGED, SAME), "success", "2 workspaces: 1 changed, 1 unchanged"),
        ((CHANGED, CHANGED, SAME, FAILED), "failure", "4 workspaces: 2 changed, 1 unchanged, 1 failed"),
        ((FAILED, WAITING, CANCELLED), "failure", "3 workspaces: 1 failed, 1 cancelled, 1 waiting for approval"),
        ((WAITING, CANCELLED, SAME), "action_required", None),
        ((CANCELLED, SAME), "cancelled", None),
        ((PASSED, PASSED), "neutral", "2 workspaces: 2 not planned"),
        ((PASSED, SAME), "success", None),
        ((Result.SUPERSEDED, SAME), "success", "1 workspace: 1 unchanged"),
        ((Result.UNDER_WAY, FAILED), None, "1 of 2 workspaces done"),
    ],
)
def test_the_worst_of_all_decides_once_all_have_ended(
    results: tuple[Result, ...], conclusion: str | None, title: str | None
) -> None:
    said = of_all(*results)
    assert said[0] == conclusion
    assert title is None or said[1] == title


def test_nothing_ends_while_workspaces_may_come() -> None:
    assert of_all(CHANGED, is_settled=False)[0] is None
    assert of_all(is_settled=False)[0] is None
