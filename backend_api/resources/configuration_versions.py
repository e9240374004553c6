"""Configuration versions: uploads of a workspace's Terraform files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import clock, configurations
from app.configurations import actions
from app.configurations.models import ConfigurationVersion, IngressAttributes
from app.errors import NotFound
from app.http import signed_urls
from app.http.routing import Route
from backend_api import finding, transfers
from backend_api.authentication import actor_of, base_url, client_version
from backend_api.jsonapi import Attribute, Resource, ToOne, View


def _upload_urls(view: View, things: Sequence[ConfigurationVersion]) -> Mapping[str, str]:
    return {one.id: signed_urls.sign(transfers.CONFIGURATION_UPLOAD, one.id, base_url=view.base_url) for one in things}


async def _ingress(view: View, things: Sequence[ConfigurationVersion]) -> Mapping[str, IngressAttributes]:
    """Of those that come from a repository; whoever sees a version sees its commit."""
    return await configurations.ingress_of([one.id for one in things if one.source == configurations.SOURCE])


def _timestamps(version: ConfigurationVersion) -> dict[str, str]:
    reached = {"uploaded_at": version.uploaded_at, "archived_at": version.archived_at}
    return {name: clock.wire(moment) for name, moment in reached.items() if moment is not None}


class ConfigurationVersionResource(Resource):
    type = "configuration-versions"

    status = Attribute(type=str, doc="`pending`, `uploaded`, `errored` or `archived`")
    source = Attribute()
    auto_queue_runs = Attribute(type=bool, writable=True)
    speculative = Attribute(type=bool, writable=True)
    provisional = Attribute(type=bool, writable=True)
    error = Attribute()
    error_message = Attribute()
    status_timestamps = Attribute(_timestamps, dashed_keys=True)

    ingress_attributes = ToOne("ingress-attributes", loader=_ingress)

    @classmethod
    async def load(cls, view: View, ids: Sequence[str]) -> Iterable[ConfigurationVersion]:
        return await configurations.visible(view.actor).filter(id__in=list(ids))

    @classmethod
    def links(cls, view: View, thing: ConfigurationVersion) -> Mapping[str, str | None]:
        path = f"/api/v2/configuration-versions/{thing.id}"
        has_archive = thing.archive_id is not None
        return {"self": path, "download": f"{path}/download" if has_archive else None}


class IngressAttributesResource(Resource):
    type = "ingress-attributes"

    branch = Attribute(type=str)
    clone_url = Attribute(type=str)
    commit_message = Attribute(type=str)
    commit_sha = Attribute(type=str)
    commit_url = Attribute(type=str)
    compare_url = Attribute(type=str)
    identifier = Attribute(type=str, doc="owner/name")
    is_pull_request = Attribute(type=bool)
    on_default_branch = Attribute(type=bool)
    pull_request_number = Attribute(type=int | None)
    pull_request_url = Attribute(type=str | None)
    pull_request_title = Attribute(type=str | None)
    pull_request_body = Attribute(type=str | None)
    tag = Attribute(type=str | None)
    sender_username = Attribute(type=str)
    sender_avatar_url = Attribute(type=str)
    sender_html_url = Attribute(type=str)

    @classmethod
    def links(cls, view: View, thing: IngressAttributes) -> Mapping[str, str | None]:
        return {"self": f"/api/v2/configuration-versions/{thing.configuration_version_id}/ingress-attributes"}


class NewConfigurationVersionResource(ConfigurationVersionResource, variant=True):
    """The answer that creates a version, and it alone, says where its archive goes."""

    upload_url = Attribute(loader=_upload_urls)


async def index(request: Request) -> Response:
    """GET /workspaces/{id}/configuration-versions"""
    found = await actions.of(actor_of(request), await finding.workspace(request))
    return await ConfigurationVersionResource.page(request, found)


async def create(request: Request) -> Response:
    """POST /workspaces/{id}/configuration-versions"""
    workspace = await finding.workspace(request)
    sent = await ConfigurationVersionResource.read(request, may_be_empty=True)
    given: dict[str, Any] = dict(sent.attributes)
    source = "terraform" if client_version(request) else "tfe-api"
    version = await configurations.create(actor_of(request), workspace, source=source, **given)
    return await NewConfigurationVersionResource.one(request, version, 201)


async def show(request: Request) -> Response:
    """GET /configuration-versions/{id}"""
    version = await configurations.find(actor_of(request), request.path_params["id"])
    return await ConfigurationVersionResource.one(request, version)


async def ingress_attributes(request: Request) -> Response:
    """GET /configuration-versions/{id}/ingress-attributes"""
    version = await configurations.find(actor_of(request), request.path_params["id"])
    found = (await configurations.ingress_of([version.id])).get(version.id)
    if found is None:
        raise NotFound("The configuration version was uploaded: it has no commit.")
    return await IngressAttributesResource.one(request, found)


async def download(request: Request) -> Response:
    """GET /configuration-versions/{id}/download"""
    version = await configurations.find(actor_of(request), request.path_params["id"])
    await configurations.archive_of(actor_of(request), version)
    url = signed_urls.sign(
        transfers.CONFIGURATION_DOWNLOAD, version.id, base_url=base_url(request), life=DOWNLOAD_SECONDS
    )
    return RedirectResponse(url, 302)


async def archive(request: Request) -> Response:
    """POST /configuration-versions/{id}/actions/archive"""
    version = await configurations.find(actor_of(request), request.path_params["id"])
    await configurations.drop_archive(actor_of(request), version)
    return Response(status_code=202)


#: Whoever is sent there goes at once.
DOWNLOAD_SECONDS = 60

routes = [
    Route("/workspaces/{id}/configuration-versions", index),
    Route("/workspaces/{id}/configuration-versions", create, methods=["POST"]),
    Route("/configuration-versions/{id}", show),
    Route("/configuration-versions/{id}/ingress-attributes", ingress_attributes),
    Route("/configuration-versions/{id}/download", download),
    Route("/configuration-versions/{id}/actions/archive", archive, methods=["POST"]),
]
