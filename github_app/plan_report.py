"""A plan as GitHub shows it beside a commit: a title, a summary to read on a phone, and the changes to unfold.

Made of the plan's JSON, never of its log, so it is cut by whole resources and says what it left out.  GitHub takes
65,535 characters for each part; we stay below that in bytes too.  Source: `github-app.md` §4.1 and §7.3.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from github_app import markdown
from github_app.plan_changes import Attribute, Change, Changes, Kind

MOST_TITLE = 80
MOST_ROWS = 25
MOST_SUMMARY = 20_000
MOST_TEXT_CHARACTERS = 60_000
MOST_TEXT_BYTES = 65_000
#: How long a value may be, and whether what is created shows its attributes; the next where the text is too long.
LEVELS = ((400, True), (120, True), (120, False))
MOST_LINES = 60
MOST_ERROR_LINES = 20
#: More have no room, however short each is.
MOST_FOLDS = 1_000


@dataclass(frozen=True, slots=True)
class About:
    """What the report is about, and where it leads.  `verdicts` are lines of Markdown, of policies and costs."""

    workspace: str
    run_url: str
    commit: str
    base: str | None = None
    seconds: int | None = None
    terraform_version: str | None = None
    all_url: str | None = None
    others: int = 0
    verdicts: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    summary: str
    text: str | None


def of_plan(changes: Changes, about: About, *, counts_only: bool = False) -> Report:
    """*counts_only* for readers who may not see what the plan says: a public page, a stranger's fork."""
    heading = f"**{_headline(changes)}** in {markdown.code(about.workspace)} · {_trailer(about)}"
    parts = [heading]
    if changes.destroyed:
        parts.append(f"> [!WARNING]\n> {_warning(changes)}")
    if changes.resources and not counts_only:
        parts.append(_table(changes.resources))
    if changes.outputs and not counts_only:
        parts.append(_outputs(changes.outputs))
    parts += [*about.verdicts, _origin(about)]
    text = None if counts_only or not changes.resources else _text(changes.resources, about)
    return Report(_title(changes), "\n\n".join(parts), text)


async def of_plan_elsewhere(changes: Changes, about: About, *, counts_only: bool = False) -> Report:
    """`of_plan` by a thread: of a long plan it takes a second."""
    return await asyncio.to_thread(of_plan, changes, about, counts_only=counts_only)


def of_failure(
    sentence: str, about: About, *, headline: str = "The plan failed", error: str = "", counts_only: bool = False
) -> Report:
    """Of a run that ended without a plan: *headline* is what may be said to everybody, *sentence* its failure, and
    *error* what Terraform said first, its first line for the title."""
    heading = f"**{headline}** in {markdown.code(about.workspace)} · {_trailer(about)}"
    if counts_only:
        return Report(headline, "\n\n".join([heading, _origin(about)]), None)
    shown = [markdown.fence("\n".join((error or sentence).splitlines()[:MOST_ERROR_LINES])[:4_000])]
    if error:
        shown.insert(0, markdown.prose(sentence))
    first = " ".join(markdown.clean((error or sentence).strip().partition("\n")[0]).split()) or headline
    return Report(markdown.cut(first, MOST_TITLE), "\n\n".join([heading, *shown, _origin(about)]), None)


def _title(changes: Changes) -> str:
    if changes.is_empty:
        return "No changes"
    said = [f"+{changes.added} ~{changes.changed} -{changes.destroyed}"]
    if replaced := changes.count(Kind.REPLACE):
        said.append(f"{replaced} replaced")
    elif destroyed := changes.count(Kind.DELETE):
        said.append(f"⚠ {destroyed} destroyed")
    if changes.imported:
        said.append(f"{changes.imported} imported")
    if not changes.resources:
        said = ["Outputs change"]
    return markdown.cut(" · ".join(said), MOST_TITLE)


def _headline(changes: Changes) -> str:
    if changes.is_empty:
        return "No changes"
    if not changes.resources:
        return "No changes but of outputs"
    imported = f"{changes.imported} to import, " if changes.imported else ""
    return f"Plan: {imported}{changes.added} to add, {changes.changed} to change, {changes.destroyed} to destroy"


def _warning(changes: Changes) -> str:
    destroyed, replaced = changes.count(Kind.DELETE), changes.count(Kind.REPLACE)
    said = []
    if destroyed:
        said.append(f"{_resources(destroyed)} will be destroyed")
    if replaced:
        said.append(f"{replaced if said else _resources(replaced)} {'' if said else 'will be '}replaced")
    return ", ".join(said) + "."


def _resources(count: int) -> str:
    return "1 resource" if count == 1 else f"{count} resources"


def _trailer(about: About) -> str:
    said = [f"[open run]({about.run_url})"]
    if about.seconds is not None:
        said.append(f"{about.seconds} s")
    if about.terraform_version:
        said.append(f"Terraform {markdown.prose(about.terraform_version, 40)}")
    return " · ".join(said)


def _origin(about: About) -> str:
    said = f"Commit {about.commit[:7]}" + (f" on base {about.base[:7]}" if about.base else "")
    if about.all_url and about.others:
        others = "1 more workspace" if about.others == 1 else f"{about.others} more workspaces"
        said += f" · {others}: [all results]({about.all_url})"
    return said


def _table(resources: Sequence[Change]) -> str:
    rows, length = ["| | Resource | |", "|--|--|--|"], 0
    for change in resources[:MOST_ROWS]:
        row = f"| {change.kind.icon} | {markdown.cell(change.address)} | {_told(change)} |"
        if length + len(row.encode()) > MOST_SUMMARY:
            break
        length += len(row.encode())
        rows.append(row)
    left = len(resources) - (len(rows) - 2)
    return "\n".join(rows) + (f"\n\nand {left} more" if left else "")


def _told(change: Change) -> str:
    match change.kind:
        case Kind.REPLACE if change.forced_by:
            return f"replace: {markdown.cell(', '.join(change.forced_by), 60)}"
        case Kind.UPDATE:
            count = len(change.attributes)
            return "1 attribute" if count == 1 else f"{count} attributes"
        case Kind.MOVE if change.moved_from:
            return f"moved from {markdown.cell(change.moved_from, 60)}"
        case _:
            return change.kind.verb


def _outputs(names: Sequence[str]) -> str:
    shown = ", ".join(markdown.code(name, 60) for name in names[:MOST_ROWS])
    left = len(names) - MOST_ROWS
    return f"Outputs that change: {shown}" + (f" and {left} more" if left > 0 else "")


def _text(resources: Sequence[Change], about: About) -> str:
    folds: list[str] = []
    for longest, creates in LEVELS:
        folds = [_fold(change, longest, creates) for change in resources[:MOST_FOLDS]]
        whole = "\n\n".join(folds)
        if len(resources) <= MOST_FOLDS and _fits(whole):
            return whole
    return _cut(folds, len(resources), about)


def _cut(folds: Sequence[str], count: int, about: About) -> str:
    """As many whole resources of *count* as there is room for, and what was left out."""
    kept: list[str] = []
    characters = octets = 0
    for fold in folds:
        characters, octets = characters + len(fold) + 2, octets + len(fold.encode()) + 2
        if characters > MOST_TEXT_CHARACTERS - 500 or octets > MOST_TEXT_BYTES - 500:
            break
        kept.append(fold)
    kept.append(f"**{len(kept)} of {count} resources shown. [Full plan]({about.run_url})**")
    return "\n\n".join(kept)


def _fits(text: str) -> bool:
    return len(text) <= MOST_TEXT_CHARACTERS and len(text.encode()) <= MOST_TEXT_BYTES


def _fold(change: Change, longest: int, creates: bool) -> str:
    summary = f"{change.kind.icon} {markdown.html(change.address)} {change.kind.verb}"
    if change.kind is Kind.CREATE and not creates:
        return markdown.details(summary, "Its attributes are on the run's page.")
    lines = [line for attribute in change.attributes for line in _lines(attribute, longest)]
    left = len(lines) - MOST_LINES
    if left > 0:
        lines = [*lines[:MOST_LINES], f"# and {left} more lines"]
    body = markdown.fence("\n".join(lines), "diff") if lines else "Nothing of its attributes differs."
    return markdown.details(summary, body)


def _lines(attribute: Attribute, longest: int) -> Iterable[str]:
    """In the way of a diff: `-` what was, `+` what will be; texts of several lines by their lines."""
    name = " ".join(markdown.clean(attribute.name).split())
    before, after = attribute.before, attribute.after
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield f"! {name}:"
        compared = difflib.unified_diff(before.splitlines()[:500], after.splitlines()[:500], lineterm="", n=1)
        for line in list(compared)[2:]:
            yield markdown.cut(markdown.clean(line), longest)
        return
    if before is not None:
        yield f"- {name} = {_value(before, longest)}"
    if after is not None:
        yield f"+ {name} = {_value(after, longest)}"


def _value(value: Any, longest: int) -> str:
    if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
        return markdown.cut(markdown.clean(value), longest)
    return markdown.cut(markdown.clean(json.dumps(value, ensure_ascii=False, sort_keys=True)), longest)
