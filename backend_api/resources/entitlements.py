"""What an organization can use: everything this server has, and nothing else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app import organizations
from app.http.routing import Route
from app.organizations.models import Organization
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Resource


def _yes(organization: Organization) -> bool:
    return True


def _no(organization: Organization) -> bool:
    return False


def _unlimited(organization: Organization) -> None:
    return None


class EntitlementSetResource(Resource):
    """Of these terraform reads `operations`: without it every run would be local."""

    type = "entitlement-sets"

    agents = Attribute(_no, type=bool)
    audit_logging = Attribute(_yes, type=bool)
    configuration_designer = Attribute(_no, type=bool)
    cost_estimation = Attribute(_yes, type=bool)
    global_run_tasks = Attribute(_yes, type=bool)
    module_deprecations = Attribute(_yes, type=bool)
    module_revocations = Attribute(_yes, type=bool)
    module_tests_generation = Attribute(_no, type=bool)
    operations = Attribute(_yes, type=bool)
    policy_enforcement = Attribute(_yes, type=bool)
    policy_limit = Attribute(_unlimited, type=int | None)
    policy_mandatory_enforcement_limit = Attribute(_unlimited, type=int | None)
    policy_set_limit = Attribute(_unlimited, type=int | None)
    private_module_registry = Attribute(_yes, type=bool)
    private_policy_agents = Attribute(_no, type=bool)
    private_run_tasks = Attribute(_no, type=bool)
    private_vcs = Attribute(_no, type=bool)
    run_task_limit = Attribute(_unlimited, type=int | None)
    run_task_mandatory_enforcement_limit = Attribute(_unlimited, type=int | None)
    run_task_workspace_limit = Attribute(_unlimited, type=int | None)
    run_tasks = Attribute(_yes, type=bool)
    self_serve_billing = Attribute(_no, type=bool)
    sentinel = Attribute(_yes, type=bool)
    sso = Attribute(_no, type=bool)
    state_storage = Attribute(_yes, type=bool)
    teams = Attribute(_yes, type=bool)
    usage_reporting = Attribute(_no, type=bool)
    user_limit = Attribute(_unlimited, type=int | None)
    vcs_integrations = Attribute(_yes, type=bool)
    versioned_policy_set_limit = Attribute(_unlimited, type=int | None)


async def show(request: Request) -> Response:
    """GET /organizations/{organization}/entitlement-set"""
    organization = await finding.organization(request)
    await organizations.entitlements(actor_of(request), organization)
    return await EntitlementSetResource.one(request, organization)


routes = [Route("/organizations/{organization}/entitlement-set", show)]
