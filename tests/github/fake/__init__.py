"""A GitHub of our own, near enough to the real one where we touch it (github-app.md §8.3 of the protocol notes).

    with serving() as github:
        app = github.add_app(1234)
        installation = app.install("acme")
        repository = installation.add_repository("infra", {"main.tf": "..."})
        sha = repository.commit("main", {"main.tf": "..."})

It is an Enterprise Server at `github.url`, in memory, with real git repositories behind it.
"""

from tests.github.fake.server import serving
from tests.github.fake.world import GitHub

__all__ = ["GitHub", "serving"]
