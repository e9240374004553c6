"""Configuration versions whose files come from a repository: nobody uploads them, and a commit's archive is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from app import clock, ids
from app.configurations.actions import Status
from app.configurations.models import ConfigurationVersion, IngressAttributes
from app.errors import Conflict
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.workspaces.models import Workspace

SOURCE = "github"


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """The commit, as the repository's host told it: the columns of `IngressAttributes`."""

    identifier: str
    commit_sha: str
    branch: str = ""
    clone_url: str = ""
    commit_message: str = ""
    commit_url: str = ""
    compare_url: str = ""
    is_pull_request: bool = False
    on_default_branch: bool = False
    pull_request_number: int | None = None
    pull_request_url: str | None = None
    pull_request_title: str | None = None
    pull_request_body: str | None = None
    base_sha: str | None = None
    tag: str | None = None
    sender_username: str = ""
    sender_avatar_url: str = ""
    sender_html_url: str = ""


async def create_from(
    archive: StoredObject, workspace: Workspace, ingress: Ingress, *, speculative: bool
) -> ConfigurationVersion:
    """Make a version that has its archive already; unless it is speculative it is the workspace's current one from now.

    Asks nobody's permission and queues no run: whoever calls has decided about both, and may do so in the same
    transaction.  Raises Conflict if the archive was dropped meanwhile; it can be fetched again.
    """
    now = clock.now()
    async with in_transaction():
        await Workspace.filter(id=workspace.id).select_for_update().only("id").first()
        if await StoredObject.filter(id=archive.id).select_for_update().only("id").first() is None:
            raise Conflict(f"The files of commit {ingress.commit_sha[:7]} were dropped meanwhile. Fetch them again.")
        version = await ConfigurationVersion.create(
            id=ids.new("configuration_version"),
            workspace_id=workspace.id,
            archive_id=archive.id,
            status=Status.UPLOADED.value,
            source=SOURCE,
            speculative=speculative,
            auto_queue_runs=False,
            created_at=now,
            uploaded_at=now,
        )
        await IngressAttributes.create(
            id=ids.new("ingress_attributes"), configuration_version_id=version.id, **asdict(ingress)
        )
        if not speculative:
            await Workspace.filter(id=workspace.id).update(current_configuration_version_id=version.id)
    return version


async def ingress_of(version_ids: Sequence[str]) -> dict[str, IngressAttributes]:
    """The commits of those that come from one, by the version's id."""
    found = await IngressAttributes.filter(configuration_version_id__in=list(version_ids))
    return {one.configuration_version_id: one for one in found}
