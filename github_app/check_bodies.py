"""The body of a check as GitHub takes it: the verdict of its row, and below it what is made of the plan.

Made when it is sent, so that of a plan's text nothing lies in the table, and what is long is made once.  It shows a
plan's redacted JSON, never the other; of a stranger's code and in public repositories only counts.  Source:
`github-app.md` §4.1, §6 and §7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ijson
import structlog

from app import clock, links, settings
from app.configurations.models import IngressAttributes
from app.organizations.models import Organization
from app.runs import phase_status, waiting
from app.runs.models import Plan, Run
from app.storage.crypto import Damaged
from app.vcs.models import Repository
from app.workspaces.models import Workspace
from github_app import check_names, checks, first_error, markdown, plan_documents, plan_report, verdicts
from github_app.models import Check
from github_app.plan_report import About, Report
from github_app.verdicts import Shown, Verdict

log = structlog.get_logger(__name__)

MOST_MEMBERS = 100


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a check belongs."""

    check: Check
    repository: Repository
    organization: Organization
    workspace: Workspace | None
    run: Run | None
    #: A workspace where the commit waits for an approval.
    unapproved: Workspace | None

    @property
    def url(self) -> str:
        """The page it leads to."""
        base, organization = settings.current().external_url, self.organization.name
        if self.unapproved is not None:
            return base + links.fork_commits(organization, self.unapproved.name)
        if self.workspace is None:
            return base + links.organization(organization)
        if self.run is None:
            return base + links.workspace(organization, self.workspace.name)
        return base + links.run(organization, self.workspace.name, self.run.id)

    @property
    def counts_only(self) -> bool:
        """Whether those who see the check may not see what the plan says."""
        return not self.repository.private or (self.run is not None and self.run.is_restricted)


async def body_of(check: Check) -> dict[str, Any]:
    """What GitHub is told of *check*, for a creation; an update is the same without `head_sha`."""
    place, verdict = await _place(check), Verdict.from_json(check.wanted)
    report = await _report(place, verdict)
    output = {"title": report.title, "summary": _with_notes(report.summary, verdict)}
    if report.text:
        output["text"] = report.text
    body: dict[str, Any] = {
        "name": check.name,
        "head_sha": check.head_sha,
        "external_id": check_names.external_id(check),
        "details_url": place.url,
        "status": verdict.status,
        "output": output,
    }
    if place.run is not None and (started := place.run.status_timestamps.get("planning-at")):
        body["started_at"] = _seconds(datetime.fromisoformat(started))
    if verdict.conclusion is not None:
        body |= {"conclusion": verdict.conclusion, "completed_at": _seconds(check.wanted_at)}
        body["actions"] = [verdicts.BUTTONS[name] for name in verdict.buttons]
    return body


async def _place(check: Check) -> _Place:
    return _Place(
        check,
        await Repository.get(id=check.repository_id),
        await Organization.get(id=check.organization_id),
        await Workspace.get(id=check.workspace_id) if check.workspace_id else None,
        await Run.get_or_none(id=check.run_id) if check.run_id else None,
        await _unapproved(check),
    )


async def _unapproved(check: Check) -> Workspace | None:
    """Where somebody may approve what the check waits for; of several workspaces the first by name."""
    if check.wanted["conclusion"] != verdicts.ACTION_REQUIRED:
        return None
    return await Workspace.filter(id__in=list(await checks.waiting(check))).order_by("name").first()


async def _report(place: _Place, verdict: Verdict) -> Report:
    match verdict.shown:
        case Shown.PLAN if place.run is not None:
            return await _of_plan(place, place.run, verdict)
        case Shown.FAILURE if place.run is not None:
            return await _of_failure(place, place.run, verdict)
        case Shown.MEMBERS:
            return Report(verdict.title, await _members(place), None)
    return Report(await _title(place, verdict), _plainly(verdict.title), None)


async def _of_plan(place: _Place, run: Run, verdict: Verdict) -> Report:
    """A plan that cannot be read is told by its counts: that a check ends matters more."""
    plan = await Plan.get_or_none(run_id=run.id).prefetch_related("json_output_redacted")
    document = plan.json_output_redacted if plan is not None else None
    about = await _about(place, run)
    heading = f"{_plainly(verdict.title)} in {markdown.code(about.workspace)} · [open run]({about.run_url})"
    if document is None:
        return Report(verdict.title, heading, None)
    try:
        changes = await plan_documents.changes_in(document)
    except (Damaged, ijson.JSONError) as error:
        log.error("a plan's JSON cannot be shown on GitHub", run=run.id, reason=str(error))
        return Report(verdict.title, heading, None)
    return await plan_report.of_plan_elsewhere(changes, about, counts_only=place.counts_only)


async def _of_failure(place: _Place, run: Run, verdict: Verdict) -> Report:
    """What stopped the run itself says more than what Terraform said of being stopped.  The log is not even read where
    it may not be shown."""
    error = "" if place.counts_only or run.is_timed_out else await first_error.of_plan(run)
    return plan_report.of_failure(
        run.failure or verdict.title,
        await _about(place, run),
        headline=verdict.title,
        error=error,
        counts_only=place.counts_only,
    )


async def _about(place: _Place, run: Run) -> About:
    assert place.workspace is not None, "a run's check is its workspace's"
    ingress = await IngressAttributes.get_or_none(configuration_version_id=run.configuration_version_id)
    others = len(await checks.members_of(place.check)) - 1
    times = phase_status.phase_timestamps(run, "plan")
    seconds = None
    if "started-at" in times and "finished-at" in times:
        taken = datetime.fromisoformat(times["finished-at"]) - datetime.fromisoformat(times["started-at"])
        seconds = round(taken.total_seconds())
    return About(
        workspace=place.workspace.name,
        run_url=place.url,
        commit=place.check.head_sha,
        base=ingress.base_sha if ingress is not None else None,
        seconds=seconds,
        terraform_version=run.terraform_version,
        all_url=settings.current().external_url + links.organization(place.organization.name),
        others=others,
    )


async def _title(place: _Place, verdict: Verdict) -> str:
    """Who waits for a worker is told how many wait before."""
    if verdict.status != verdicts.QUEUED or place.run is None or place.workspace is None:
        return verdict.title
    reason = await waiting.reason_of(place.run, place.workspace)
    if reason is None or reason.reason != "slots" or reason.ahead is None:
        return verdict.title
    return f"{verdict.title} (position {reason.ahead + 1})"


async def _members(place: _Place) -> str:
    """A line for each workspace of the organization's, with its run."""
    members = await checks.members_of(place.check)
    names = dict(await Workspace.filter(id__in=[member.workspace_id for member in members]).values_list("id", "name"))
    base, rows = settings.current().external_url, ["| Workspace | |", "|--|--|"]
    for member in members[:MOST_MEMBERS]:
        verdict = Verdict.from_json(member.wanted)
        name, organization = names.get(member.workspace_id or "", "?"), place.organization.name
        said = markdown.prose(verdict.title, plan_report.MOST_TITLE)
        if member.run_id is not None:
            said = f"[{said}]({base}{links.run(organization, name, member.run_id)})"
        rows.append(f"| {markdown.cell(name)} | {said} |")
    left = len(members) - MOST_MEMBERS
    return "\n".join(rows) + (f"\n\nand {left} more" if left > 0 else "")


def _with_notes(summary: str, verdict: Verdict) -> str:
    """The summary, and what a person who pressed a button is told."""
    return f"{summary}\n\n{markdown.prose(verdict.summary, 2_000)}" if verdict.summary else summary


def _plainly(title: str) -> str:
    return f"**{markdown.prose(title)}**"


def _seconds(moment: datetime) -> str:
    return clock.wire(moment)[:19] + "Z"
