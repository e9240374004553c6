from __future__ import annotations

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
