"""How long things may be.  Every refusal names the limit and the setting that moves it, if one does."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import TooLarge
from app.settings import Settings


@dataclass(frozen=True)
class Limit:
    what: str
    most: int
    setting: str
    """What moves it; "" if nothing does."""

    def exceeded(self) -> TooLarge:
        moved = f"setting {self.setting}" if self.setting else "no setting changes that"
        return TooLarge(f"{self.what} may be {readable(self.most)} long at most ({moved}).", limit=self.most)


@dataclass(frozen=True)
class Limits:
    """Those of a request's body; a route names the one that binds it."""

    json: Limit
    inline_state: Limit
    state: Limit
    archive: Limit

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            json=Limit("The JSON body of a request", settings.max_json_body, "STATEROOM_MAX_JSON_BODY"),
            inline_state=Limit(
                "A request with a state inside", settings.max_inline_state, "STATEROOM_MAX_INLINE_STATE"
            ),
            state=Limit("A state", settings.max_state, "STATEROOM_MAX_STATE"),
            archive=Limit("A configuration archive", settings.max_archive, "STATEROOM_MAX_ARCHIVE"),
        )


def readable(size: int) -> str:
    """``2 MiB``, or the plain number where it is no round one."""
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= length and size % length == 0:
            return f"{size // length} {unit}"
    return f"{size} bytes"
