"""How a process writes its messages: as text for people or JSON for machines, to standard error.

A trace never shows the values of variables: they hold tokens, states and people's secrets.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from types import TracebackType

import orjson
import structlog
from structlog.typing import EventDict, Processor

from app.settings import Settings

#: They tell of each request with its whole address, whose query or path can be a credential: of tarballs, say, and of
#: the code that an app is made with.
TALK_OF_ADDRESSES = ("httpx", "httpx2", "httpcore", "httpcore2", "hishel", "githubkit")


def configure(settings: Settings) -> None:
    """Write messages as *settings* say, from now on, those of the standard library too."""
    level = getattr(logging, settings.log_level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        shape: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
        sys.excepthook = _note_the_end
    elif sys.stderr.isatty():
        shape = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        shape = [structlog.processors.format_exc_info, _line]
    _take_in_the_standard_library([*shared, structlog.stdlib.add_logger_name], shape, level)
    structlog.configure(
        processors=[*shared, *shape],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _take_in_the_standard_library(shared: Sequence[Processor], shape: Sequence[Processor], level: int) -> None:
    """Give what libraries say, by `logging` or `warnings`, the same shape and the same words around it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=list(shared),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shape],
        )
    )
    logging.basicConfig(handlers=[handler], level=level)
    for name in TALK_OF_ADDRESSES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _note_the_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For `sys.excepthook`: what ends the process is a line as well."""
    structlog.get_logger("stateroom").critical("the process ends", exc_info=(kind, error, trace))


def _line(logger: object, method: str, message: EventDict) -> str:
    """One message for a file: no colours, no columns, which cost more than the request they tell of.

    A value with a blank or a line break in it is quoted, and what goes on below the first line is indented, so that
    nobody writes a second message into it.
    """
    trace = message.pop("exception", None)
    head = f"{message.pop('timestamp')} [{message.pop('level')}] {message.pop('event')}"
    words = [head, *(f"{name}={_word(value)}" for name, value in message.items())]
    return "\n".join([" ".join(words), *([trace] if trace else [])]).replace("\n", "\n  ")


def _word(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if text.isprintable() and " " not in text else repr(text)


def _json(message: object, **_: object) -> str:
    return orjson.dumps(message, default=repr).decode()
