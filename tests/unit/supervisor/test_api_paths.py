from __future__ import annotations

import pytest

from app.supervisor.api_paths import is_permitted

SIGNED = ("/v1/object/",)

OPEN = [
    ("GET", "/.well-known/terraform.json"),
    ("GET", "/api/v2/ping"),
    ("GET", "/api/v2/organizations/main/entitlement-set"),
    ("GET", "/api/v2/organizations/main/workspaces/network?include=outputs"),
    ("GET", "/api/v2/workspaces/ws-1"),
    ("POST", "/api/v2/workspaces/ws-1/actions/lock"),
    ("POST", "/api/v2/workspaces/ws-1/actions/unlock"),
    ("GET", "/api/v2/workspaces/ws-1/current-state-version"),
    ("GET", "/api/v2/workspaces/ws-1/current-state-version-outputs"),
    ("GET", "/api/v2/state-versions/sv-1"),
    ("GET", "/api/v2/state-version-outputs/wsout-1"),
    ("GET", "/api/registry/v1/modules/main/vpc/aws/versions"),
    ("GET", "/api/registry/v1/providers/main/thing/1.0.0/download/linux/amd64"),
    ("GET", "/v1/object/archive.x.1.abc"),
]

CLOSED = [
    ("POST", "/api/v2/workspaces/ws-1/state-versions"),
    ("PUT", "/v1/object/state-upload.x.1.abc"),
    ("POST", "/api/v2/workspaces/ws-1/actions/force-unlock"),
    ("DELETE", "/api/v2/workspaces/ws-1"),
    ("GET", "/api/v2/workspaces/ws-1/vars"),
    ("GET", "/api/v2/runs/run-1"),
    ("GET", "/api/v2/organizations/main"),
    ("GET", "/api/v2/account/details"),
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/api/v2/ping/../runs/run-1"),
    ("GET", "/v1/object/../../api/v2/runs/run-1"),
    ("GET", "/v1/object/%2e%2e/api/v2/runs"),
    ("GET", "/api/v2//runs"),
    ("GET", "/api/v2/workspaces/ws-1%2fvars"),
]


@pytest.mark.parametrize(("method", "target"), OPEN)
def test_a_run_may_use_what_it_needs(method: str, target: str) -> None:
    assert is_permitted(method, target, SIGNED)


@pytest.mark.parametrize(("method", "target"), CLOSED)
def test_a_run_may_use_nothing_else(method: str, target: str) -> None:
    assert not is_permitted(method, target, SIGNED)
