"""Runs: what people start, watch, confirm and cancel."""

from app.runs.actions import (
    RunOptions,
    cancel,
    comment,
    confirm,
    create,
    discard,
    discard_stale,
    find,
    force_cancel,
    run_variable,
    show,
    visible,
)

__all__ = [
    "RunOptions",
    "cancel",
    "comment",
    "confirm",
    "create",
    "discard",
    "discard_stale",
    "find",
    "force_cancel",
    "run_variable",
    "show",
    "visible",
]
