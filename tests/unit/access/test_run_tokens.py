from __future__ import annotations

import re

from app.access import run_tokens


def test_a_run_may_read_its_workspace_and_no_variables() -> None:
    assert run_tokens.allows("GET", "/api/v2/workspaces/{id}")
    assert not run_tokens.allows("GET", "/api/v2/workspaces/{id}/vars")


def test_what_parameters_are_called_does_not_matter() -> None:
    assert run_tokens.allows("GET", "/api/v2/organizations/{org}/workspaces/{workspace}")


def test_a_fixed_word_is_no_parameter() -> None:
    assert not run_tokens.allows("GET", "/api/v2/workspaces/secrets")


def test_a_method_is_part_of_a_route() -> None:
    assert run_tokens.allows("HEAD", "/api/v2/ping")
    assert not run_tokens.allows("PATCH", "/api/v2/workspaces/{id}")
    assert not run_tokens.allows("DELETE", "/api/v2/workspaces/{id}")


def test_a_sandbox_lets_nothing_through_to_the_api_that_a_token_is_refused() -> None:
    """The proxy keeps patterns of its own, since what runs it imports nothing of the rest."""
    from app.supervisor.api_paths import is_permitted

    for route in run_tokens.RUN_TOKEN_ROUTES:
        path = re.sub(r"\{\w+\}", "x1", route.pattern)
        writes = (route.method, route.pattern) == ("POST", "/api/v2/workspaces/{id}/state-versions")
        assert is_permitted(route.method, path, ()) is not writes, route
    for refused in ("/api/v2/workspaces/x1/vars", "/api/v2/runs/x1", "/api/v2/account/details"):
        assert not is_permitted("GET", refused, ())
