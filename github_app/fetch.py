"""Brings a commit's files from GitHub: its archive, or what git fetches where that lacks something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from app import settings
from app.configurations import directories
from app.configurations.archive import ArchiveLimits
from app.configurations.directories import Directories
from app.configurations.slugs import Slug
from app.errors import Conflict, Invalid, StateroomError
from app.secret import Secret
from app.storage.models import StoredObject
from app.vcs import archives
from app.vcs.models import Repository
from github_app import git_fetch
from github_app.git_fetch import Commit

log = structlog.get_logger(__name__)


class Source(Protocol):
    """The part of GitHub's API that is needed here."""

    def tarball(self, repository: Repository, sha: str) -> AsyncIterator[bytes]: ...

    async def fetch_token(self, repository: Repository) -> Secret[str]: ...

    async def revoke(self, token: Secret[str]) -> None: ...


@dataclass(frozen=True)
class Files:
    """A commit's files, stored; the same object for all workspaces of an organization."""

    stored: StoredObject
    directories: Directories

    def has_directory(self, directory: str) -> bool:
        """Whether a workspace's working directory is there; "" is the root and always is."""
        return directory in self.directories


async def files_of(
    api: Source, repository: Repository, sha: str, organization_id: str, *, submodules: bool, restricted: bool = False
) -> Files:
    """The files of commit *sha*, fetched unless they were lately; *restricted* if a stranger wrote it.

    Raises Unavailable where trying again may help; anything else is final: a StateroomError whose sentence says what
    is wrong with the commit.
    """
    try:
        stored = await archives.find(organization_id, repository, sha, submodules=submodules)
        stored = stored or await _fetched(api, repository, sha, organization_id, submodules, restricted)
    except Invalid as error:
        raise Conflict(f"The files of {repository.full_name} at {sha[:7]} cannot be used. {error.sentence}") from error
    return Files(stored, await directories.of(stored))


async def _fetched(
    api: Source, repository: Repository, sha: str, organization_id: str, submodules: bool, restricted: bool
) -> StoredObject:
    slug = Slug(ArchiveLimits.of(settings.current()), sha)
    wants_large = settings.current().fetch_lfs
    whole = _whole(slug, api.tarball(repository, sha), submodules, wants_large)
    try:
        return await archives.keep(organization_id, repository, sha, whole, submodules=submodules)
    except _Incomplete:
        log.info("fetching with git", repository=repository.full_name, sha=sha, lacks=slug.lacks)
    token = await api.fetch_token(repository)
    try:
        large_files = wants_large and slug.lacks.large_files
        commit = Commit(repository.clone_url, repository.full_name, sha, submodules, large_files, restricted)
        slug = Slug(ArchiveLimits.of(settings.current()), sha)
        packed = slug.packed(git_fetch.archive(commit, token))
        return await archives.keep(organization_id, repository, sha, packed, submodules=submodules)
    finally:
        await _revoke(api, token)


async def _whole(slug: Slug, chunks: AsyncIterator[bytes], submodules: bool, large_files: bool) -> AsyncIterator[bytes]:
    """The slug; its end comes only if the archive has all of the commit that is asked for."""
    async for piece in slug.packed(chunks):
        yield piece
    lacks = slug.lacks
    if lacks.attributes or (submodules and lacks.submodules) or (large_files and lacks.large_files):
        raise _Incomplete


async def _revoke(api: Source, token: Secret[str]) -> None:
    try:
        await api.revoke(token)
    except StateroomError as error:
        # It ends by itself within the hour, and the files are here.
        log.warning("a token for fetching could not be revoked", reason=error.sentence)


class _Incomplete(Exception):
    """The host's archive lacks something; git has it."""
