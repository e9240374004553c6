"""The `vcs-repo` of a workspace: how clients say which repository it follows, and how they read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from app import links, settings
from app.access.actors import Actor
from app.errors import Invalid
from app.organizations.models import Organization
from app.vcs import connections
from app.vcs.connections import Change
from app.vcs.models import Connection
from app.workspaces.models import Workspace
from backend_api.jsonapi import Incoming, View


class VcsRepo(msgspec.Struct, rename="kebab"):
    """What a request may say; null and nothing are the same, except that a branch or expression is cleared by null."""

    identifier: str | None = None
    oauth_token_id: str | None = None
    github_app_installation_id: str | None = None
    branch: str | msgspec.UnsetType | None = msgspec.UNSET
    ingress_submodules: bool | msgspec.UnsetType | None = msgspec.UNSET
    tags_regex: str | msgspec.UnsetType | None = msgspec.UNSET
    fork_policy: str | None = None


async def first(actor: Actor, organization: Organization, sent: Incoming) -> Change:
    """What a request that makes a workspace says of its connection."""
    return await connections.first(actor, organization, _given(sent))


async def change(actor: Actor, workspace: Workspace, sent: Incoming) -> Change:
    """What a request that changes *workspace* says of its connection."""
    if "vcs_repo" not in sent.attributes:
        return connections.unchanged(actor)
    return await connections.change(actor, workspace, _given(sent))


async def loaded(view: View, things: Sequence[Workspace]) -> Mapping[str, Connection]:
    return await connections.of_all([workspace.id for workspace in things])


def shown(connection: Connection | None) -> dict[str, Any] | None:
    """Null where there is none: an object, even an empty one, would forbid `terraform apply`."""
    if connection is None:
        return None
    repository = connection.repository
    return {
        "identifier": repository.full_name,
        "display_identifier": repository.full_name,
        "branch": connection.branch,
        "ingress_submodules": connection.ingress_submodules,
        "tags_regex": connection.tags_regex or None,
        "fork_policy": connection.fork_policy,
        "oauth_token_id": None,
        "github_app_installation_id": repository.installation_id,
        "repository_http_url": repository.html_url,
        "service_provider": "github_app",
        "webhook_url": settings.current().external_url + links.github_webhook(repository.app_id),
    }


def identifier(connection: Connection | None) -> str | None:
    return connection.repository.full_name if connection else None


def _given(sent: Incoming) -> dict[str, Any] | None:
    said: VcsRepo | None = sent.attributes.get("vcs_repo")
    if said is None:
        return None
    if said.oauth_token_id:
        other = "not both" if said.github_app_installation_id else "and without an OAuth token"
        raise Invalid(
            f"This server connects workspaces through its GitHub App only: send github-app-installation-id, {other}.",
            field="vcs_repo/oauth_token_id",
        )
    if said.tags_regex and sent.attributes.get("file_triggers_enabled"):
        raise Invalid(
            "A workspace that follows tags is not triggered by files. Send file-triggers-enabled as false, or no"
            " tags-regex.",
            field="file_triggers_enabled",
        )
    given = {
        "identifier": said.identifier,
        "installation_id": said.github_app_installation_id,
        "branch": said.branch,
        "ingress_submodules": said.ingress_submodules,
        "tags_regex": said.tags_regex,
        "fork_policy": said.fork_policy,
    }
    return {name: value for name, value in given.items() if value is not msgspec.UNSET}
