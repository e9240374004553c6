from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from app import configurations
from app.access.actors import SYSTEM
from app.configurations import Ingress, directories
from app.configurations.models import ConfigurationVersion, IngressAttributes
from app.errors import Conflict, Invalid
from app.organizations.models import Organization
from app.settings import Settings
from app.storage import objects
from app.storage.models import StoredObject
from app.vcs import archives
from app.vcs.models import CommitArchive, Repository
from app.worker import CHORES
from app.workspaces.models import Workspace
from tests import factories

SHA = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
FILES = {"main.tf": "# main", "env/prod/main.tf": "# prod"}


@pytest.fixture
async def organization(opened: Settings) -> Organization:
    return await factories.make_organization()


@pytest.fixture
async def repository(organization: Organization) -> Repository:
    return await factories.make_repository(organization)


async def keep(organization: Organization, repository: Repository, sha: str = SHA, **files: str) -> StoredObject:
    slug = factories.chunks(factories.archive(files or FILES))
    return await archives.keep(organization.id, repository, sha, slug, submodules=False)


async def made_of(archive: StoredObject, workspace: Workspace, *, speculative: bool = False) -> ConfigurationVersion:
    ingress = Ingress(identifier="acme/net", commit_sha=SHA, branch="main", on_default_branch=True)
    return await configurations.create_from(archive, workspace, ingress, speculative=speculative)


async def make_old() -> None:
    row = await CommitArchive.get()
    await CommitArchive.all().update(fetched_at=row.fetched_at - archives.KEPT - timedelta(minutes=1))


async def readable(archive: StoredObject) -> bool:
    return await objects.read(archive) == factories.archive(FILES)


async def test_one_archive_serves_the_workspaces_of_an_organization(
    organization: Organization, repository: Repository
) -> None:
    archive = await keep(organization, repository)
    assert await archives.find(organization.id, repository, SHA, submodules=False) == archive
    assert await archives.find(organization.id, repository, SHA, submodules=True) is None
    assert await archives.find("org-other", repository, SHA, submodules=False) is None

    one, two = [await factories.make_workspace(organization) for _ in range(2)]
    version, plan_only = await made_of(archive, one), await made_of(archive, two, speculative=True)
    assert await readable(await configurations.stored_archive(version.id))
    assert await readable(await configurations.stored_archive(plan_only.id))
    assert (version.status, version.source, version.auto_queue_runs) == ("uploaded", "github", False)
    await one.refresh_from_db()
    await two.refresh_from_db()
    assert (one.current_configuration_version_id, two.current_configuration_version_id) == (version.id, None)
    ingress = await IngressAttributes.get(configuration_version_id=version.id)
    assert (ingress.commit_sha, ingress.branch, ingress.tag) == (SHA, "main", None)


async def test_of_two_fetches_at_once_one_is_kept(organization: Organization, repository: Repository) -> None:
    first, second = await asyncio.gather(keep(organization, repository), keep(organization, repository))
    assert first.id == second.id
    assert await CommitArchive.all().count() == await StoredObject.filter(kind="configuration").count() == 1
    assert await readable(first)


async def test_a_commit_that_cannot_be_taken_leaves_nothing(organization: Organization, repository: Repository) -> None:
    async def bad() -> AsyncIterator[bytes]:
        yield b"half of it"
        raise Invalid("The archive ends in the middle.")

    with pytest.raises(Invalid):
        await archives.keep(organization.id, repository, SHA, bad(), submodules=False)
    assert await CommitArchive.all().count() == await StoredObject.filter(kind="configuration").count() == 0


async def test_a_dropped_archive_stays_for_the_versions_that_need_it(
    organization: Organization, repository: Repository
) -> None:
    archive = await keep(organization, repository)
    one, two = [
        await made_of(archive, await factories.make_workspace(organization), speculative=True) for _ in range(2)
    ]
    await configurations.drop_archive(SYSTEM, await configurations.find(SYSTEM, one.id))
    assert await readable(archive)
    await make_old()
    await CHORES["forget commits nobody uses"].do()
    assert await CommitArchive.all().count() == 0
    assert await readable(archive)
    await configurations.drop_archive(SYSTEM, await configurations.find(SYSTEM, two.id))
    assert await StoredObject.filter(id=archive.id).count() == 0
    with pytest.raises(Exception, match="not in the object store"):
        await objects.read(archive)


async def test_a_commit_nobody_used_goes_after_a_day(organization: Organization, repository: Repository) -> None:
    archive = await keep(organization, repository)
    assert await archives.drop_unused() == 0
    await make_old()
    assert await archives.drop_unused() == 1
    assert await StoredObject.filter(id=archive.id).count() == 0
    with pytest.raises(Conflict, match="Fetch them again"):
        await made_of(archive, await factories.make_workspace(organization))
    assert await ConfigurationVersion.all().count() == 0


async def test_a_version_takes_all_of_its_ingress_or_none(organization: Organization, repository: Repository) -> None:
    archive = await keep(organization, repository)
    workspace = await factories.make_workspace(organization)
    with pytest.raises(ValueError, match="commit_sha"):
        await configurations.create_from(
            archive,
            workspace,
            Ingress(identifier="acme/net", commit_sha=None),  # type: ignore[arg-type]
            speculative=False,
        )
    assert await ConfigurationVersion.all().count() == 0


async def test_missing_directories_are_found_before_a_run(organization: Organization, repository: Repository) -> None:
    archive = await keep(organization, repository)
    found = await directories.of(archive)
    asked = ["", "env", "/env/prod/", "env/test", "main.tf", "env/prod/deeper"]
    assert [one for one in asked if one not in found] == ["env/test", "main.tf", "env/prod/deeper"]
