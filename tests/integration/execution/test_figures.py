"""What a worker measures of a real run."""

from __future__ import annotations

import time
from datetime import datetime

from app.runs.models import Run
from app.settings import Settings
from tests.integration.execution.conftest import Crew, cleared, rested, start
from tests.measured import Growth

SECOND = 1.0
FILES = {
    "main.tf": """
resource "terraform_data" "one" {
  provisioner "local-exec" { command = "echo begun; sleep 1; echo over" }
}
"""
}


def taken(run: Run, since: str, until: str) -> float:
    """Seconds between two statuses of *run*, by its own timestamps."""
    at = run.status_timestamps
    return (datetime.fromisoformat(at[f"{until}-at"]) - datetime.fromisoformat(at[f"{since}-at"])).total_seconds()


async def test_phases_and_log_lag_are_those_of_the_run(crew: Crew, opened: Settings) -> None:
    grown, started = Growth(), time.monotonic()
    run = await rested(await start(FILES, auto_apply=True), "apply")
    await cleared(opened)
    wall = time.monotonic() - started
    assert run.status == "applied"
    plan = {"phase": "plan", "status": "apply_queued"}
    apply = {"phase": "apply", "status": "applied"}
    for one in (plan, apply):
        assert grown.of("stateroom_phase_seconds_count", **one) == 1, one
    assert taken(run, "planning", "planned") <= grown.of("stateroom_phase_seconds_sum", **plan) <= wall
    assert SECOND < taken(run, "applying", "applied") <= grown.of("stateroom_phase_seconds_sum", **apply) <= wall
    assert grown.of("stateroom_phase_seconds_bucket", **apply, le="1.0") == 0
    lags = grown.of("stateroom_log_lag_seconds_count")
    assert lags >= 3, "a header, and what stands before and after the pause"
    assert 0 < grown.of("stateroom_log_lag_seconds_sum") <= lags * wall
    assert grown.of("stateroom_leases_expired_total", phase="plan") == 0
