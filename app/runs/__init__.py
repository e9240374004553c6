"""Runs: what people start, watch, confirm and cancel."""

from app.runs.actions import (
    RunOptions,
    RunVariable,
    cancel,
    comment,
    confirm,
    create,
    discard,
    discard_stale,
    force_cancel,
    visible,
)

__all__ = [
    "RunOptions",
    "RunVariable",
    "cancel",
    "comment",
    "confirm",
    "create",
    "discard",
    "discard_stale",
    "force_cancel",
    "visible",
]
