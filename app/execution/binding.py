"""What a plan rests on.  An apply refuses when any of it moved, and says which: Terraform would overlook most."""

from __future__ import annotations

from typing import Any

from app.jobs.models import Job
from app.runs.models import Run

#: What is compared, and what it is called when it moved.
WORDS = {
    "configuration": "the configuration version's files",
    "variables": "the run's variables",
    "state_version": "the workspace's state",
    "terraform": "the Terraform version",
    "bundle": "the bundle registered as that Terraform version",
    "workspace": "the workspace's name",
    "working_directory": "the workspace's working directory",
    "place": "the data directory (runs without a sandbox are bound to it)",
    "plan": "the plan file",
}


def of(run: Run, job: Job, variables: str, *, bundle: str = "", place: str = "") -> dict[str, Any]:
    """All of it that is known before terraform runs; the state and the plan file come after."""
    archived = run.configuration_version.archive
    return {
        "configuration": archived.sha256 if archived else "",
        "variables": variables,
        "terraform": f"{job.engine}/{job.terraform_version}",
        "bundle": bundle,
        "workspace": run.workspace.name,
        "working_directory": run.workspace.working_directory,
        "place": place,
    }


def moved(bound: dict[str, Any], now: dict[str, Any]) -> str:
    """What is not as the plan found it, in words; empty if all is."""
    words = [words for key, words in WORDS.items() if key in now and bound.get(key, "") != now[key]]
    return words[0] if len(words) < 2 and words else ", ".join(words[:-1]) + " and " + words[-1] if words else ""
