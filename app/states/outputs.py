"""The outputs of a state version."""

from __future__ import annotations

import orjson
from tortoise.expressions import Subquery
from tortoise.queryset import QuerySet

from app.access.actors import Actor
from app.access.permissions import require
from app.errors import NotFound, Unavailable
from app.states import actions, arrival, deletion
from app.states.arrival import FINALIZED
from app.states.models import StateVersion, StateVersionOutput
from app.storage import crypto
from app.workspaces.models import Workspace

MISSING = "There is no such output, or you may not see it."


async def current(actor: Actor, workspace: Workspace) -> list[StateVersionOutput]:
    """Those of the current version; none while there is no state yet."""
    await require(actor, "state:read-outputs", workspace)
    version = await arrival.current_of(workspace)
    if version is None:
        return []
    require_read(version)
    return await _of(version.id)


async def of_version(actor: Actor, version_id: str) -> QuerySet[StateVersionOutput]:
    """Those of one version.  Raises NotFound, Forbidden."""
    version = await actions.visible(actor).filter(id=version_id).select_related("workspace").first()
    if version is None:
        raise NotFound(actions.MISSING)
    await require(actor, "state:read-outputs", version.workspace, missing=actions.MISSING)
    require_read(version)
    return StateVersionOutput.filter(state_version_id=version.id).order_by("name", "id")


def visible(actor: Actor) -> QuerySet[StateVersionOutput]:
    """The outputs *actor* may know of."""
    versions = actions.visible(actor).values("id")
    return StateVersionOutput.filter(state_version_id__in=Subquery(versions))


async def find(actor: Actor, output_id: str) -> StateVersionOutput:
    """One output.  Raises NotFound, Forbidden."""
    output = (
        await visible(actor)
        .filter(id=output_id)
        .prefetch_related("state_version__workspace")  # joined, PostgreSQL would cut the columns' long aliases short
        .first()
    )
    if output is None:
        raise NotFound(MISSING)
    await require(actor, "state:read-outputs", output.state_version.workspace, missing=MISSING)
    deletion.require_content(output.state_version)
    return output


def require_read(version: StateVersion) -> None:
    """Raise NotFound if the content was deleted, Unavailable while a long one still waits to be read."""
    deletion.require_content(version)
    if version.status == FINALIZED and not version.resources_processed:
        raise Unavailable("The outputs of this state are being read; ask again in a moment.")


def value(output: StateVersionOutput) -> orjson.Fragment:
    """Its value in clear, to be put into a document as it is; whoever shows it decides about a sensitive one."""
    return orjson.Fragment(crypto.open_sealed(output.sealed_value, context=output.sealed_context))


def detailed_type(output: StateVersionOutput) -> orjson.Fragment:
    """Its type as Terraform writes it in JSON: `"string"`, `["list", "string"]`, …"""
    return orjson.Fragment(output.detailed_type)


async def _of(version_id: str) -> list[StateVersionOutput]:
    return await StateVersionOutput.filter(state_version_id=version_id).order_by("name")
