"""Runs: what people start, watch, confirm and cancel."""

from app.runs.actions import (
    cancel,
    comment,
    confirm,
    discard,
    discard_expired,
    discard_stale,
    find,
    force_cancel,
    force_execute,
    show,
    visible,
)
from app.runs.creation import RunOptions, create, retry, run_variable

__all__ = [
    "RunOptions",
    "cancel",
    "comment",
    "confirm",
    "create",
    "discard",
    "discard_expired",
    "discard_stale",
    "find",
    "force_cancel",
    "force_execute",
    "retry",
    "run_variable",
    "show",
    "visible",
]
