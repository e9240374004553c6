"""A sentence to standard error, of processes that have no log of their own but stand among those that have."""

from __future__ import annotations

import json
import sys

from app import clock


def say(sentence: str, log_format: str = "text") -> None:
    """One line, in the shape that *log_format* asks of every other one."""
    if log_format == "json":
        said = {"event": sentence, "logger": "stateroom", "level": "info", "timestamp": clock.wire(clock.now())}
        line = json.dumps(said, ensure_ascii=False)
    else:
        line = f"stateroom: {sentence}"
    print(line, file=sys.stderr, flush=True)


def name_misspelt(log_format: str) -> None:
    """Warn who starts a process of variables that were meant as settings and are none."""
    from app.settings import misspelt  # half a second that not every command needs

    if sentence := misspelt():
        say(f"Warning: {sentence}", log_format)
