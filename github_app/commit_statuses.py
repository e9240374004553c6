"""A check told as a commit status, for installations that let us write no checks.

A status knows four states, no report and no button, and GitHub takes a thousand of a name on a commit: only what
changes the state is told.  Source: `github-app.md` §4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from github_app import markdown, verdicts

MOST_DESCRIPTION = 140
_STATES = {verdicts.SUCCESS: "success", verdicts.NEUTRAL: "success", verdicts.SKIPPED: "success"}


def body_of(check: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a status, from the body of a check.  What waits for a person or was cancelled does not let pass."""
    conclusion = check.get("conclusion")
    return {
        "state": "pending" if conclusion is None else _STATES.get(conclusion, "failure"),
        "target_url": check["details_url"],
        "description": markdown.cut(check["output"]["title"], MOST_DESCRIPTION),
        "context": check["name"],
    }
