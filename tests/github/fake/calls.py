"""A call to the REST API, and who answers which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.github.fake.access import Said, Token
from tests.github.fake.world import App, GitHub, Installation, Repository, SignIn


@dataclass
class Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """Of `app`, `token` and `user` one is known, as the operation wants it."""

    github: GitHub
    operation: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    body: Any
    app: App | None = None
    token: Token | None = None
    user: SignIn | None = None
    repository: Repository | None = None

    @property
    def installation(self) -> Installation:
        assert self.token is not None
        return self.token.installation

    @property
    def repo(self) -> Repository:
        assert self.repository is not None
        return self.repository

    @property
    def by(self) -> App:
        assert self.app is not None
        return self.app

    def page(self, everything: list[Any], *, most: int = 100) -> tuple[list[Any], dict[str, str]]:
        """The page asked for, and the header that leads to the next."""
        size = min(int(self.query.get("per_page", 30)), most)
        number = int(self.query.get("page", 1))
        shown = everything[(number - 1) * size : number * size]
        if number * size >= len(everything):
            return shown, {}
        onward = urlencode({**self.query, "per_page": size, "page": number + 1})
        return shown, {"link": f'<{self.github.url}/api/v3{self.path}?{onward}>; rel="next"'}


Handler = Callable[[Call], Reply]

#: Who may ask: the app itself, a user, anybody, or an installation with a permission.
APP, USER, ANYBODY, INSTALLATION = "app", "user", "anybody", "installation"


@dataclass
class Answering:
    needs: str
    permission: tuple[str, str] | None
    handler: Handler


HANDLERS: dict[str, Answering] = {}


def answers(operation: str, needs: str = INSTALLATION, *, permission: str = "") -> Callable[[Handler], Handler]:
    """*permission* as in `checks: write`."""

    def register(handler: Handler) -> Handler:
        name, _, level = permission.partition(": ")
        HANDLERS[operation] = Answering(needs, (name, level) if permission else None, handler)
        return handler

    return register


def not_found() -> Said:
    return Said(404, "Not Found")


def invalid(message: str, *, resource: str, field: str) -> Said:
    error = {"resource": resource, "code": "custom", "field": field, "message": message}
    return Said(422, "Validation Failed", errors=[error])
