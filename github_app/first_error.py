"""What Terraform said first of why it failed, out of a plan's log.

The log is what people see on the run's page: the run's secrets are masked in it, and Terraform shows no sensitive
value.  Terraform prints its errors last, so of a long log the end is enough.
"""

from __future__ import annotations

import re

import structlog

from app.errors import StateroomError
from app.runs import logs
from app.runs.models import Plan, Run

log = structlog.get_logger(__name__)

#: Bytes of the log's end that are looked through.
LOOKED_AT = 256 * 1024
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
#: The first line of an error, which since Terraform 0.15 has a frame at its left.
_BEGINS = re.compile(r"(?m)^(?P<frame>│ )?Error: \S")


async def of_plan(run: Run) -> str:
    """The first error block of *run*'s plan, without colours and frame; "" where there is none, or the log is away."""
    plan = await Plan.get_or_none(run_id=run.id)
    if plan is None:
        return ""
    try:
        length = await logs.length(plan.id)
        end = await logs.read(plan.id, max(0, length - LOOKED_AT), LOOKED_AT)
    except StateroomError as error:
        log.warning("a log's error cannot be shown on GitHub", run=run.id, reason=error.sentence)
        return ""
    return within(end.decode(errors="replace"))


def within(text: str) -> str:
    """The first error block in *text*, a log or its end."""
    text = _STYLE.sub("", text.replace("\r\n", "\n").strip("\x02\x03"))
    found = _BEGINS.search(text)
    if found is None:
        return ""
    lines = text[found.start() :].split("\n")
    return _framed(lines) if found["frame"] else _bare(lines)


def _framed(lines: list[str]) -> str:
    block: list[str] = []
    for line in lines:
        if not line.startswith("│"):
            break
        block.append(line[1:].removeprefix(" ").rstrip())
    return "\n".join(block).strip()


def _bare(lines: list[str]) -> str:
    """Before 0.15 a block ended where the next began, or after two empty lines."""
    block = [lines[0].rstrip()]
    for line in lines[1:]:
        if line.startswith(("Error: ", "Warning: ")) or (not line.strip() and len(block) > 2 and not block[-1]):
            break
        block.append(line.rstrip())
    return "\n".join(block).strip()
