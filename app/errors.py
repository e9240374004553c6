"""What can go wrong, in the domain's words.

The domain raises these and knows no status codes; each surface maps them once (API documents, pages, a
run's failure message).  Each carries one sentence meant for its reader: what happened, why, what to do.
"""

from __future__ import annotations


class StateroomError(Exception):
    """Something the reader of the sentence can understand and act on.  Anything else that is raised is a
    bug."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class NotFound(StateroomError):
    """It does not exist, or the actor may not know that it does."""


class Forbidden(StateroomError):
    """The actor sees it and may not do that; the sentence names the missing permission."""

    def __init__(self, sentence: str, *, permission: str | None = None) -> None:
        super().__init__(sentence)
        self.permission = permission


class Conflict(StateroomError):
    """The thing is not in a condition that allows this, now.  Nothing was changed."""


class BadTransition(Conflict):
    """Likewise, where the API's documents call for another status than a conflict's."""


class Invalid(StateroomError):
    """What was asked for is not well formed or breaks a rule.

    *field* names the attribute or relation in the domain's words (``"auto_apply"``); a surface turns it
    into its own pointer.  One that begins with a slash is a pointer already and is passed on as it is.
    *parameter* names what was asked for in a query instead (``"filter[status]"``).
    """

    def __init__(self, sentence: str, *, field: str | None = None, parameter: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field
        self.parameter = parameter


class Unauthenticated(StateroomError):
    """Nobody knows who is asking: no credential, or one that is malformed, expired or revoked."""


class Unavailable(StateroomError):
    """A part we depend on did not answer.  Promises that nothing was stored, because clients repeat the
    request."""


class TooLarge(StateroomError):
    """It is longer than a limit; the sentence names the limit and the setting."""

    def __init__(self, sentence: str, *, limit: int | None = None) -> None:
        super().__init__(sentence)
        self.limit = limit
