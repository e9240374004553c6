"""What is changed behind our back, in a row or in an object, is found; the first version it touches is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from app.access.actors import SYSTEM
from app.states import deletion, history
from app.states.models import StateVersion
from app.states.verification import Verdict, verify
from app.storage import objects
from app.storage.models import StoredObject
from app.workspaces.models import Workspace
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")


@pytest.fixture
async def workspace() -> Workspace:
    return await factories.make_workspace()


@pytest.fixture
async def versions(workspace: Workspace) -> list[StateVersion]:
    return [await factories.make_state(workspace, serial) for serial in (1, 2, 3)]


async def found(workspace: Workspace) -> Verdict:
    return await verify(await Workspace.get(id=workspace.id))


async def change(version: StateVersion, **columns: Any) -> None:
    assert await StateVersion.filter(id=version.id).update(**columns) == 1


async def test_what_nobody_touched_fits(workspace: Workspace, versions: list[StateVersion]) -> None:
    assert await found(workspace) == Verdict(3)
    assert await found(await factories.make_workspace()) == Verdict(0)


@pytest.mark.parametrize(
    "columns",
    [
        {"serial": 7},
        {"lineage": "other"},
        {"md5": "0" * 32},
        {"size": 5},
        {"sha256": "0" * 64},
        {"created_by_id": "user-mallory"},
        {"run_id": "run-other"},
        {"rollback_of_id": "sv-other"},
        {"chain_hash": "0" * 64},
        {"previous_id": None},
        {"previous_id": "sv-gone"},
    ],
)
async def test_a_changed_row_is_found(
    columns: dict[str, Any], workspace: Workspace, versions: list[StateVersion]
) -> None:
    await change(versions[1], **columns)
    assert (await found(workspace)).misfit in {versions[1].id, versions[0].id if "previous_id" in columns else None}


async def test_a_row_whose_hash_was_made_to_fit_is_given_away_by_the_next_one(
    workspace: Workspace, versions: list[StateVersion]
) -> None:
    forged = versions[1]
    forged.serial = 9
    await change(forged, serial=9, chain_hash=history.link(forged, versions[0]))
    assert (await found(workspace)).misfit == versions[2].id


async def test_a_version_taken_out_slipped_in_or_cut_off_is_found(
    workspace: Workspace, versions: list[StateVersion]
) -> None:
    await Workspace.filter(id=workspace.id).update(current_state_version_id=versions[1].id)
    cut = await found(workspace)
    assert (cut.misfit, "no place in the chain" in str(cut.problem)) == (versions[2].id, True)
    await Workspace.filter(id=workspace.id).update(current_state_version_id="sv-gone")
    assert (await found(workspace)).misfit == versions[0].id
    await Workspace.filter(id=workspace.id).update(current_state_version_id=versions[2].id)
    await StateVersion.filter(id=versions[0].id).delete()
    gone = await found(workspace)
    assert (gone.misfit, "is not there" in str(gone.problem)) == (versions[1].id, True)


async def test_a_version_that_follows_itself_is_no_endless_chain(
    workspace: Workspace, versions: list[StateVersion]
) -> None:
    await change(versions[0], previous_id=versions[2].id)
    assert (await found(workspace)).misfit == versions[0].id


async def one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_changed_lost_and_swapped_bytes_are_found(workspace: Workspace, versions: list[StateVersion]) -> None:
    first, second = [await StoredObject.get(id=version.content_id) for version in versions[:2]]
    name = f"state/{workspace.organization_id}/"
    sealed = b"".join([piece async for piece in objects._opened().get(name + second.id)])

    async def put(content: bytes) -> None:
        await objects._opened().put(name + second.id, one_piece(content))

    for wrong in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20], b"", sealed + b"x"):
        await put(wrong)
        assert (await found(workspace)).misfit == versions[1].id
    await put(sealed)
    assert (await found(workspace)).misfit is None

    # Whole and well encrypted, but not what this version held.
    other = await objects.put("state", workspace.organization_id, b"{}")
    await other.save()
    await change(versions[1], content_id=other.id)
    assert "another SHA-256" in str((await found(workspace)).problem)
    await StoredObject.filter(id=other.id).update(sha256=second.sha256)
    assert (await found(workspace)).misfit == versions[1].id
    await change(versions[1], content_id=second.id)
    await objects.delete_bytes(second)
    lost = await found(workspace)
    assert (lost.misfit, "not in the object store" in str(lost.problem)) == (versions[1].id, True)
    await change(versions[1], content_id=None)
    assert "nobody deleted them" in str((await found(workspace)).problem)
    assert first.sha256 == sha256(await objects.read(first)).hexdigest()


async def test_what_a_person_deleted_leaves_its_place_in_the_chain(
    workspace: Workspace, versions: list[StateVersion]
) -> None:
    await versions[1].fetch_related("workspace")
    await deletion.soft_delete(SYSTEM, versions[1])
    assert await found(workspace) == Verdict(3)
    await deletion.permanently_delete(SYSTEM, versions[1])
    assert await found(workspace) == Verdict(3)
    await change(versions[1], sha256="0" * 64)
    assert (await found(workspace)).misfit == versions[1].id
