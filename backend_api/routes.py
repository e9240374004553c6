"""Every route of the API: the resources under /api/v2, each behind authentication, and what needs none."""

from __future__ import annotations

from app.http.routing import Endpoint, Route, under
from backend_api import discovery, transfers
from backend_api.authentication import authenticated
from backend_api.errors import answered
from backend_api.resources import (
    account,
    admin_organizations,
    authentication_tokens,
    capacity,
    configuration_versions,
    entitlements,
    fork_commits,
    github_app_installations,
    organizations,
    phases,
    ping,
    projects,
    remote_state_consumers,
    run_events,
    run_triggers,
    runs,
    state_versions,
    terraform_versions,
    variable_sets,
    variables,
    workspace_tags,
    workspaces,
)

BASE = "/api/v2"

RESOURCES = (
    account,
    admin_organizations,
    authentication_tokens,
    capacity,
    configuration_versions,
    entitlements,
    fork_commits,
    github_app_installations,
    organizations,
    phases,
    ping,
    projects,
    remote_state_consumers,
    run_events,
    run_triggers,
    runs,
    state_versions,
    terraform_versions,
    variable_sets,
    variables,
    workspace_tags,
    workspaces,
)


def _guarded(endpoint: Endpoint) -> Endpoint:
    return answered(authenticated(endpoint))


routes: list[Route] = [
    *(route for resource in RESOURCES for route in under(BASE, resource.routes, around=_guarded)),
    *under("", discovery.routes, around=answered),
    *under("", transfers.routes, around=answered),
]
