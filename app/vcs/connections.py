"""Which repository a workspace follows: what an API calls its `vcs-repo`.

A change of it is judged first and written in the transaction that changes the workspace's own settings, because the two
can contradict each other.  Source: `github-app.md` §1.4 and §3.8 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app import clock, settings
from app.access.actors import Actor, Kind
from app.access.permissions import require, require_in_organization
from app.errors import Invalid
from app.organizations.models import Organization
from app.storage.database import in_transaction
from app.vcs import installations, refs
from app.vcs.models import Connection, Installation, InstallationLink, Repository
from app.workspaces.models import Workspace
from app.workspaces.patterns import check_tags_regex

LONGEST_BRANCH = 255
FORK_POLICIES = DENY, APPROVE, ALLOW = ("deny", "approve", "allow")


@dataclass(frozen=True)
class Wish:
    """That *actor* connects a workspace to the repository called *identifier*, through an installation that not all in
    the organization may use; *repository* is None where the installation sees none of that name."""

    actor: Actor
    installation: Installation
    identifier: str
    repository: Repository | None


#: Whoever raises prevents it.  Whether there is such a repository may not be told before.
BeforeConnecting = Callable[[Wish], Awaitable[None]]

_before_connecting: list[BeforeConnecting] = []


def before_connecting(*listeners: BeforeConnecting) -> None:
    """Ask *listeners* about each wish; one that is asked already is not added again."""
    _before_connecting.extend(one for one in listeners if one not in _before_connecting)


@dataclass(frozen=True)
class Change:
    """What is to become of a workspace's connection: *values* are columns, empty if it stays as it is."""

    actor: Actor
    values: Mapping[str, Any] = field(default_factory=dict)
    disconnects: bool = False

    async def write(self, workspace: Workspace) -> None:
        """Make it so, inside the transaction that has written *workspace*.  Raises Invalid if the two contradict each
        other."""
        if self.disconnects:
            await Connection.filter(workspace_id=workspace.id).delete()
            return
        if self.values and not await Connection.filter(workspace_id=workspace.id).update(**self.values):
            await Connection.create(
                workspace_id=workspace.id,
                connected_by_id=self.actor.id,
                created_at=clock.now(),
                **self.values,
            )
        if self.values:  # whoever looks after repositories is to look at its heads now
            await Repository.filter(connections__workspace_id=workspace.id).update(reconciled_at=None)
        await _check(workspace)


async def change(actor: Actor, workspace: Workspace, given: Mapping[str, Any] | None) -> Change:
    """What *given* asks of the connection of *workspace*: None disconnects it, what is left out stays.

    Known are `identifier`, `installation_id`, `branch`, `ingress_submodules`, `tags_regex` and `fork_policy`.  Raises
    Invalid, its field being ``vcs_repo/…``.
    """
    await require(actor, "workspace:update", workspace)
    if given is None:
        return Change(actor, disconnects=True)
    before = await of(workspace)
    return Change(actor, await _values(actor, workspace.organization_id, given, before))


async def first(actor: Actor, organization: Organization, given: Mapping[str, Any] | None) -> Change:
    """Likewise, for a workspace that is about to be made in *organization*."""
    await require_in_organization(actor, "workspace:create", organization.id)
    return Change(actor, await _values(actor, organization.id, given, None) if given is not None else {})


def unchanged(actor: Actor) -> Change:
    """For a change of the workspace's settings alone: those may not contradict the connection either."""
    return Change(actor)


async def disconnect(actor: Actor, workspace: Workspace) -> None:
    """Let *workspace* follow no repository.  Its runs and configurations stay; it takes uploads again."""
    changing = await change(actor, workspace, None)
    async with in_transaction():
        await changing.write(workspace)


async def of(workspace: Workspace) -> Connection | None:
    """The connection of *workspace*, its repository loaded."""
    return (await of_all([workspace.id])).get(workspace.id)


async def of_all(workspace_ids: Sequence[str]) -> dict[str, Connection]:
    """Those of many workspaces by the workspace's id, as `of` gives one."""
    found = Connection.filter(workspace_id__in=list(workspace_ids)).select_related("repository")
    return {one.workspace_id: one for one in await found}


async def trouble(connection: Connection) -> str | None:
    """Why nothing comes from its repository, as a sentence."""
    repository = connection.repository
    installation = await Installation.get(id=repository.installation_id)
    return repository.lost or installation.trouble


def fork_policy(connection: Connection) -> str:
    """What is done with pull requests of forks: `allow` means nothing any more once the server permits it to nobody."""
    if connection.fork_policy == ALLOW and not settings.current().allow_forks:
        return APPROVE
    return connection.fork_policy


async def refuse_upload(workspace: Workspace, speculative: bool) -> None:
    """Raise Invalid for a configuration that is to be applied and does not come from the repository."""
    connection = None if speculative else await of(workspace)
    if connection is not None:
        raise Invalid(
            f"The workspace {workspace.name} takes its configuration from the repository"
            f" {connection.repository.full_name}, so an uploaded one can only be planned. Push a commit to have it"
            " applied, or upload a speculative configuration version.",
            field="speculative",
        )


async def _values(
    actor: Actor, organization_id: str, given: Mapping[str, Any], before: Connection | None
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if before is None or given.get("identifier") or given.get("installation_id"):
        values["repository_id"] = (await _repository(actor, organization_id, given, before)).id
    if "branch" in given:
        values["branch"] = _branch(given["branch"] or "")
    if "ingress_submodules" in given:
        values["ingress_submodules"] = bool(given["ingress_submodules"])
    if "tags_regex" in given:
        values["tags_regex"] = _tags_regex(given["tags_regex"] or "")
    if given.get("fork_policy"):
        values["fork_policy"] = _fork_policy(str(given["fork_policy"]), before)
    return values


async def _repository(
    actor: Actor, organization_id: str, given: Mapping[str, Any], before: Connection | None
) -> Repository:
    identifier = given.get("identifier") or (before.repository.full_name if before else "")
    number = given.get("installation_id") or (before.repository.installation_id if before else "")
    if not identifier:
        raise Invalid("A repository is named by its owner and name: acme/network.", field="vcs_repo/identifier")
    if not number:
        raise Invalid(
            "Name the installation of the GitHub App that sees the repository (GET /api/v2/github-app/installations).",
            field="vcs_repo/github_app_installation_id",
        )
    installation = await installations.linked_to(organization_id).get_or_none(id=number)
    if installation is None or installation.trouble:
        raise Invalid(
            (installation and installation.trouble)
            or f"The organization may use no installation {str(number)[:60]} of the GitHub App. An installation has to"
            " be linked to it first.",
            field="vcs_repo/github_app_installation_id",
        )
    named = await installation.repositories.filter(full_name__iexact=identifier)
    repository = min(named, key=lambda one: one.lost is not None, default=None)
    if before is None or repository is None or repository.id != before.repository_id:
        await _ask(organization_id, Wish(actor, installation, str(identifier)[:255], repository))
    if repository is None or repository.lost:
        raise Invalid(
            (repository and repository.lost)
            or f"The GitHub App's installation in {installation.account_login} sees no repository"
            f" {str(identifier)[:255]}. Its owner can give it access at GitHub.",
            field="vcs_repo/identifier",
        )
    return repository


async def _ask(organization_id: str, wish: Wish) -> None:
    """Of a repository that one organization's members may read and another's may not."""
    link = await InstallationLink.get(installation_id=wish.installation.id, organization_id=organization_id)
    if wish.actor.kind is Kind.SYSTEM or await installations.is_for_everyone(link):
        return
    if not _before_connecting:
        raise RuntimeError("nobody says who may read a repository: wiring is missing")
    for listener in _before_connecting:
        await listener(wish)


def _branch(branch: str) -> str:
    name = branch.removeprefix("refs/heads/")
    if branch and (len(branch) > LONGEST_BRANCH or not branch.isprintable() or not refs.is_name(name)):
        raise Invalid(
            f"A branch has at most {LONGEST_BRANCH} characters and a name that git takes: no spaces, none of ~^:?*[\\,"
            ' no ".." or "//", no part that begins with a dot or ends in ".lock"; "" follows the default branch.',
            field="vcs_repo/branch",
        )
    return name


def _tags_regex(expression: str) -> str:
    if "\0" in expression:
        raise Invalid("A text cannot hold a NUL character.", field="vcs_repo/tags_regex")
    try:
        check_tags_regex(expression)
    except Invalid as error:
        raise Invalid(error.sentence, field="vcs_repo/tags_regex") from None
    return expression


def _fork_policy(policy: str, before: Connection | None) -> str:
    if policy not in FORK_POLICIES:
        raise Invalid(
            "Pull requests of forks are planned by one of these policies: deny, approve (after somebody's approval of"
            " the commit) or allow (at once).",
            field="vcs_repo/fork_policy",
        )
    if policy == ALLOW and not settings.current().allow_forks and (before is None or before.fork_policy != ALLOW):
        raise Invalid(
            "This server plans no fork without an approval. Who runs it can permit it (STATEROOM_ALLOW_FORKS).",
            field="vcs_repo/fork_policy",
        )
    return policy


async def _check(workspace: Workspace) -> None:
    connection = await Connection.filter(workspace_id=workspace.id).only("workspace_id", "tags_regex").first()
    if connection is None or not connection.tags_regex:
        return
    for what, column in (("patterns", workspace.trigger_patterns), ("prefixes", workspace.trigger_prefixes)):
        if column:
            raise Invalid(
                f"A workspace that follows tags has no trigger {what}: a tag has no changed files. Clear the one you do"
                " not want.",
                field="vcs_repo/tags_regex",
            )
