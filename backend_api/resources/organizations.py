"""Organizations.  On the wire an organization's name is its id."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from tortoise.expressions import Q

from app import organizations
from app.http.routing import Route
from app.organizations.models import Organization
from app.projects.models import Project
from backend_api import finding
from backend_api.authentication import actor_of
from backend_api.jsonapi import Attribute, Page, Resource, ToOne, View

_OWNERS = (
    "can_update",
    "can_destroy",
    "can_access_via_teams",
    "can_create_workspace",
    "can_create_project",
    "can_manage_users",
    "can_view_users",
    "can_manage_tags",
    "can_manage_varsets",
    "can_read_varsets",
    "can_read_policies",
    "can_update_api_token",
    "can_update_authentication_token",
    "can_create_team",
    "can_create_module",
    "can_update_oauth",
    "can_update_sentinel",
    "can_manage_run_tasks",
    "can_read_run_tasks",
)
_NOBODYS = (
    "can_manage_subscription",
    "can_manage_sso",
    "can_update_ssh_keys",
    "can_update_agent_pools",
    "can_view_usage",
    "can_manage_assessments",
    "can_read_assessments",
    "can_enable_stacks",
)


def _permissions(view: View, things: Sequence[Organization]) -> Mapping[str, Any]:
    return {
        one.id: dict.fromkeys(_OWNERS, view.actor.owns(one.id))
        | dict.fromkeys(_NOBODYS, False)
        | {"can_traverse": True}
        for one in things
    }


async def _default_projects(view: View, things: Sequence[Organization]) -> Mapping[str, Any]:
    found = await Project.filter(organization_id__in=[one.id for one in things], is_default=True)
    return {project.organization_id: project.id for project in found}


class OrganizationResource(Resource):
    type = "organizations"
    path = "/api/v2/organizations/{id}"

    name = Attribute(type=str, writable=True)
    email = Attribute(type=str | None, writable=True)
    external_id = Attribute(operator.attrgetter("id"), type=str)
    created_at = Attribute()
    default_execution_mode = Attribute(type=str, writable=True)
    permissions = Attribute(loader=_permissions, dashed_keys=True)
    collaborator_auth_policy = Attribute(lambda one: "password")
    cost_estimation_enabled = Attribute(lambda one: False)
    send_passing_statuses_for_untriggered_speculative_plans = Attribute(lambda one: False)
    aggregated_commit_status_enabled = Attribute(lambda one: True)
    speculative_plan_management_enabled = Attribute(lambda one: True)
    allow_force_delete_workspaces = Attribute(lambda one: True)
    assessments_enforced = Attribute(lambda one: False)
    fair_run_queuing_enabled = Attribute(lambda one: True)
    saml_enabled = Attribute(lambda one: False)
    owners_team_saml_role_id = Attribute(lambda one: None)
    two_factor_conformant = Attribute(lambda one: True)
    session_timeout = Attribute(lambda one: None)
    session_remember = Attribute(lambda one: None)
    plan_expired = Attribute(lambda one: False)
    plan_expires_at = Attribute(lambda one: None)
    plan_is_trial = Attribute(lambda one: False)
    plan_is_enterprise = Attribute(lambda one: True)

    default_project = ToOne("projects", loader=_default_projects)
    entitlement_set = ToOne("entitlement-sets", lambda one: one, related="/api/v2/organizations/{id}/entitlement-set")

    @classmethod
    def identity(cls, thing: Organization) -> str:
        return thing.name

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[Organization]:
        if view.actor.claims is not None:  # a run may ask what its organization can use, and see no more of it
            return []
        return await organizations.visible(view.actor).filter(name__in=list(ids))


async def index(request: Request) -> Response:
    """GET /organizations"""
    query = organizations.visible(actor_of(request)).order_by("name", "id")
    wanted = request.query_params
    if text := wanted.get("q"):
        query = query.filter(Q(name__icontains=text) | Q(email__icontains=text))
    else:
        if text := wanted.get("q[name]"):
            query = query.filter(name__icontains=text)
        if text := wanted.get("q[email]"):
            query = query.filter(email__icontains=text)
    if Page.if_asked(request.query_params):
        return await OrganizationResource.page(request, query)
    return await OrganizationResource.all(request, await query)


async def show(request: Request) -> Response:
    """GET /organizations/{organization}"""
    organization = await organizations.show(actor_of(request), request.path_params["organization"])
    return await OrganizationResource.one(request, organization)


async def create(request: Request) -> Response:
    """POST /organizations"""
    sent = await OrganizationResource.read(request, required=["name"])
    actor = actor_of(request)
    organization = await organizations.create(actor, sent.attributes["name"], email=sent.get("email"))
    request.state.actor = replace(actor, organization_ids=actor.organization_ids | {organization.id})
    return await OrganizationResource.one(request, organization, 201)


async def update(request: Request) -> Response:
    """PATCH /organizations/{organization}"""
    organization = await finding.organization(request)
    sent = await OrganizationResource.read(request)
    await organizations.update(actor_of(request), organization, **sent.attributes)
    return await OrganizationResource.one(request, organization)


async def delete(request: Request) -> Response:
    """DELETE /organizations/{organization}: with its workspaces, unless a run is at work"""
    await organizations.delete(actor_of(request), await finding.organization(request))
    return Response(status_code=204)


routes = [
    Route("/organizations", index),
    Route("/organizations", create, methods=["POST"]),
    Route("/organizations/{organization}", show),
    Route("/organizations/{organization}", update, methods=["PATCH", "PUT"]),
    Route("/organizations/{organization}", delete, methods=["DELETE"]),
]
