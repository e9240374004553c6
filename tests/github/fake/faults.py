"""What goes wrong on request."""

from __future__ import annotations

from dataclasses import dataclass

#: Of `GitHub.fail`: a status is answered before anything is done; `nothing` ends the connection before, `lost` after
#: the request was done; `half` cuts the body of a good answer; `silent` never answers; `broken` answers no JSON;
#: `primary`, `secondary`, `secondary-date` and `secondary-message` are the limits, as GitHub tells them.
KINDS = (
    "nothing",
    "lost",
    "half",
    "silent",
    "broken",
    "primary",
    "secondary",
    "secondary-date",
    "secondary-message",
)


@dataclass
class Fault:
    """For the next *times* requests whose path contains *where*."""

    kind: int | str
    where: str = ""
    method: str = ""
    times: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.kind, str) and self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind}")

    def strikes(self, method: str, path: str) -> bool:
        if self.times and self.where in path and self.method in ("", method):
            self.times -= 1
            return True
        return False
