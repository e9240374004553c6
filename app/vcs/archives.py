"""A commit's files, kept once for all workspaces of an organization that want them at about the same time.

The row is a note that they need not be fetched again; it goes after a day.  The bytes stay for as long as a
configuration version is made of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from datetime import timedelta

from tortoise.exceptions import IntegrityError

from app import clock
from app.storage import objects
from app.storage.database import in_transaction
from app.storage.models import StoredObject
from app.vcs.models import CommitArchive, Repository

#: The same as of an uploaded archive: the versions made of it know no difference.
KIND = "configuration"
KEPT = timedelta(days=1)


async def find(organization_id: str, repository: Repository, sha: str, *, submodules: bool) -> StoredObject | None:
    """The files of commit *sha*, if they were fetched lately."""
    kept = CommitArchive.filter(
        organization_id=organization_id, repository_id=repository.id, sha=sha, submodules=submodules
    )
    row = await kept.select_related("archive").first()
    return row.archive if row else None


async def keep(
    organization_id: str, repository: Repository, sha: str, slug: AsyncIterable[bytes], *, submodules: bool
) -> StoredObject:
    """Store the *slug* of commit *sha* as it comes.  Of two who do so at once both get the first one's.

    Raises what *slug* raises, and Unavailable; nothing is kept then.
    """
    stored = await objects.put(KIND, organization_id, slug)
    try:
        async with in_transaction():
            await stored.save(force_create=True)
            await CommitArchive.create(
                organization_id=organization_id,
                repository_id=repository.id,
                sha=sha,
                submodules=submodules,
                archive_id=stored.id,
                fetched_at=clock.now(),
            )
    except IntegrityError:
        first = await find(organization_id, repository, sha, submodules=submodules)
        if first is None:
            raise
        return first
    finally:
        await asyncio.shield(objects.abandon(stored))
    return stored


async def drop_unused() -> int:
    """Forget archives fetched more than a day ago, and the bytes that no configuration version needs.  How many."""
    old = await CommitArchive.filter(fetched_at__lt=clock.now() - KEPT).select_related("archive").limit(100)
    for row in old:
        async with in_transaction():
            await CommitArchive.filter(id=row.id).delete()
            unneeded = await objects.let_go(row.archive)
        if unneeded:
            await objects.delete_bytes(row.archive)
    return len(old)
