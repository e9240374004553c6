"""States are taken, checked and swapped; nothing of a refused one is kept."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from hashlib import md5
from typing import Any

import orjson
import pytest

from app import states, workspaces
from app.access.actors import SYSTEM, Actor, RunClaims, of_run
from app.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from app.runs import moves
from app.states import NewState, arrival, history, outputs, verification
from app.states.models import StateVersion
from app.storage import objects
from app.storage.models import StoredObject
from app.workspaces.models import Workspace
from tests import factories

pytestmark = pytest.mark.usefixtures("opened")

LINEAGE = "11111111-2222-3333-4444-555555555555"


def state(serial: int = 1, lineage: str = LINEAGE, note: str = "") -> bytes:
    document: dict[str, Any] = {
        "version": 4,
        "terraform_version": "1.11.4",
        "serial": serial,
        "lineage": lineage,
        "outputs": {"note": {"value": note, "type": "string", "sensitive": bool(note)}},
        "resources": [
            {"mode": "managed", "type": "terraform_data", "name": "a", "provider": "p", "instances": [{}, {}]}
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def announced(content: bytes, serial: int = 1, lineage: str = LINEAGE, **given: Any) -> NewState:
    return NewState(serial=serial, md5=md5(content).hexdigest(), lineage=lineage, **given)


def chunked(content: bytes) -> AsyncIterator[bytes]:
    return factories.chunks(content, 7)


async def push(actor: Actor, workspace: Workspace, content: bytes, serial: int, **given: Any) -> StateVersion:
    version = await states.create(actor, workspace, announced(content, serial, **given))
    await states.receive(version.id, chunked(content))
    return await StateVersion.get(id=version.id)


async def current(workspace: Workspace) -> bytes | None:
    fresh = await Workspace.get(id=workspace.id)
    version = await StateVersion.get_or_none(id=fresh.current_state_version_id)
    if version is None:
        return None
    return await objects.read(await states.content(version.id))


@pytest.fixture
async def alice() -> Actor:
    return await factories.actor_of(await factories.make_user())


@pytest.fixture
async def workspace(alice: Actor) -> Workspace:
    """A workspace that alice has locked."""
    owner = await factories.User.get(id=alice.id)
    organization = await factories.make_organization(owner=owner)
    workspace = await factories.make_workspace(organization)
    return await workspaces.lock(await factories.actor_of(owner), workspace)


@pytest.fixture
async def writer(alice: Actor, workspace: Workspace) -> Actor:
    return await factories.actor_of(await factories.User.get(id=alice.id))


async def test_a_state_comes_back_byte_for_byte_and_says_what_it_holds(writer: Actor, workspace: Workspace) -> None:
    content = state(note="hush")
    version = await push(writer, workspace, content, 1)
    assert await current(workspace) == content
    assert (version.status, version.size, version.terraform_version) == ("finalized", len(content), "1.11.4")
    assert (await Workspace.get(id=workspace.id)).resource_count == 2
    [output] = await outputs.current(writer, await Workspace.get(id=workspace.id))
    assert (output.name, output.sensitive, orjson.dumps(outputs.value(output))) == ("note", True, b'"hush"')


async def test_the_same_state_again_is_the_same_version(writer: Actor, workspace: Workspace) -> None:
    first = await push(writer, workspace, state(), 1)
    again = await push(writer, await Workspace.get(id=workspace.id), state(), 1)
    assert again.id == first.id
    await states.receive(first.id, chunked(state()))
    assert await StateVersion.all().count() == 1
    assert await StoredObject.filter(kind="state").count() == 1


@pytest.mark.parametrize(
    ("content", "serial", "lineage", "sentence"),
    [
        (state(2, note="other"), 2, LINEAGE, "serial 2 is current"),
        (state(1), 1, LINEAGE, "serial 2 is current"),
        (state(3, "other"), 3, "other", "lineage"),
    ],
)
async def test_what_does_not_follow_the_current_state_is_refused(
    content: bytes, serial: int, lineage: str, sentence: str, writer: Actor, workspace: Workspace
) -> None:
    await push(writer, workspace, state(2), 2)
    with pytest.raises(Conflict, match=sentence):
        await states.create(writer, await Workspace.get(id=workspace.id), announced(content, serial, lineage))
    assert await current(workspace) == state(2)


async def test_t33_the_cloud_block_may_go_back_without_saying_force(writer: Actor, workspace: Workspace) -> None:
    await push(writer, workspace, state(5), 5)
    cloud = Actor(**{**{field: getattr(writer, field) for field in Actor.__slots__}, "integration": "cloud"})
    version = await push(cloud, await Workspace.get(id=workspace.id), state(2, "new"), 2, lineage="new")
    assert version.forced
    assert await current(workspace) == state(2, "new")
    assert await StateVersion.filter(workspace_id=workspace.id).count() == 2


async def test_of_two_rollbacks_at_once_the_later_is_told_of_the_other(
    writer: Actor, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lineage of its own would let it past the serial."""
    first = await push(writer, workspace, state(1, "old"), 1, lineage="old")
    second = await push(writer, workspace, state(2), 2, force=True)
    await push(writer, workspace, state(3), 3)
    locked, finalize = await Workspace.get(id=workspace.id), arrival.finalize

    async def overtaken(*given: Any, **more: Any) -> bool:
        monkeypatch.setattr(arrival, "finalize", finalize)
        await states.rollback(writer, locked, second.id)
        return await finalize(*given, **more)

    monkeypatch.setattr(arrival, "finalize", overtaken)
    with pytest.raises(Conflict, match="Nothing was rolled back: another state became current"):
        await states.rollback(writer, locked, first.id)
    assert await current(workspace) == state(4)
    assert await StateVersion.filter(status="pending").count() == 0


async def test_an_old_state_forced_again_becomes_current_again(writer: Actor, workspace: Workspace) -> None:
    await push(writer, workspace, state(1), 1)
    await push(writer, await Workspace.get(id=workspace.id), state(2), 2)
    await push(writer, await Workspace.get(id=workspace.id), state(1), 1, force=True)
    assert await current(workspace) == state(1)
    assert (await verification.verify(await Workspace.get(id=workspace.id))).misfit is None


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"", "it is empty"),
        (b"not json", "not a Terraform state"),
        (state(note="changed on the way"), "MD5"),
        (state(7), "MD5"),
    ],
)
async def test_bytes_that_are_not_what_was_announced_leave_nothing(
    sent: bytes, sentence: str, writer: Actor, workspace: Workspace
) -> None:
    version = await states.create(writer, workspace, announced(state()))
    with pytest.raises(Invalid, match=sentence):
        await states.receive(version.id, chunked(sent))
    assert await StoredObject.filter(kind="state").count() == 0
    assert (await StateVersion.get(id=version.id)).status == "pending"
    await states.receive(version.id, chunked(state()))
    assert await current(workspace) == state()


async def test_a_state_that_contradicts_the_request_is_refused(writer: Actor, workspace: Workspace) -> None:
    version = await states.create(writer, workspace, announced(state(7), 6))
    with pytest.raises(Invalid, match="serial 7"):
        await states.receive(version.id, chunked(state(7)))


async def test_nobody_writes_without_the_lock(writer: Actor, workspace: Workspace) -> None:
    unlocked = await workspaces.unlock(writer, workspace)
    with pytest.raises(Conflict, match="lock"):
        await states.create(writer, unlocked, announced(state()))


async def test_a_stranger_is_told_that_there_is_nothing(workspace: Workspace) -> None:
    stranger = await factories.actor_of(await factories.make_user())
    with pytest.raises(NotFound):
        await states.create(stranger, workspace, announced(state()))


async def test_the_lock_must_still_be_held_when_the_bytes_arrive(writer: Actor, workspace: Workspace) -> None:
    version = await states.create(writer, workspace, announced(state()))
    with pytest.raises(Unavailable, match="latest state version is still pending"):
        await workspaces.unlock(writer, await Workspace.get(id=workspace.id))
    await workspaces.force_unlock(writer, await Workspace.get(id=workspace.id))
    with pytest.raises(Conflict):
        await states.receive(version.id, chunked(state()))
    assert await current(workspace) is None


@pytest.mark.parametrize("forced", [True, False])
async def test_what_was_announced_under_one_lock_never_comes_under_the_next(
    forced: bool, writer: Actor, workspace: Workspace
) -> None:
    """Nor does a version that a newer one has superseded hold the lock, or outlive it."""
    late = await states.create(writer, workspace, announced(state(5), 5))
    await push(writer, workspace, state(1), 1)
    assert (await StateVersion.get(id=late.id)).status == "discarded"
    # As a snapshot comes, or a server before this one left it: announced, and not the newest.
    await StateVersion.filter(id=late.id).update(status="pending")
    free = workspaces.force_unlock if forced else workspaces.unlock
    await free(writer, await Workspace.get(id=workspace.id))
    assert (await StateVersion.get(id=late.id)).status == "discarded"
    await workspaces.lock(writer, await Workspace.get(id=workspace.id))
    with pytest.raises(Conflict, match="given up"):
        await states.receive(late.id, chunked(state(5)))
    assert await current(workspace) == state(1)


async def test_of_two_states_with_one_serial_one_wins_whole(writer: Actor, workspace: Workspace) -> None:
    contents = [state(1, note=f"writer {number}") for number in range(5)]
    versions = [await states.create(writer, workspace, announced(content)) for content in contents]

    async def receive(number: int) -> bool:
        try:
            await states.receive(versions[number].id, chunked(contents[number]))
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(receive(number) for number in range(5)))
    assert sum(won) == 1
    assert await current(workspace) == contents[won.index(True)]
    assert await StoredObject.filter(kind="state").count() == 1


async def test_a_state_sent_inline_is_final_at_once(writer: Actor, workspace: Workspace) -> None:
    inline = announced(state(), state=base64.b64encode(state()).decode())
    version = await states.create(writer, workspace, inline)
    assert version.status == "finalized"
    assert await current(workspace) == state()


async def test_a_run_writes_only_while_it_applies_and_holds_the_lock() -> None:
    run = await factories.make_run()
    workspace = await Workspace.get(id=run.workspace_id)
    claims = RunClaims(run.id, "job-1", "plan", workspace.id, workspace.organization_id)
    with pytest.raises(Forbidden, match="run token"):
        await states.create(of_run(claims), workspace, announced(state()))
    applying = of_run(RunClaims(run.id, "job-1", "apply", workspace.id, workspace.organization_id))
    await push(applying, workspace, state(), 1)
    other = of_run(RunClaims("run-other", "job-2", "apply", workspace.id, workspace.organization_id))
    with pytest.raises(Conflict, match="lock"):
        await states.create(other, workspace, announced(state(2), 2))


async def test_the_newest_snapshot_becomes_current_when_its_run_ends_without_more() -> None:
    run = await factories.make_run()
    workspace = await Workspace.get(id=run.workspace_id)
    applying = of_run(RunClaims(run.id, "job-1", "apply", workspace.id, workspace.organization_id))
    await push(applying, workspace, state(1), 1, intermediate=True)
    await push(applying, workspace, state(3), 3, intermediate=True)
    assert await current(workspace) is None
    await moves.move(run, "fail")
    assert await current(workspace) == state(3)
    assert (await verification.verify(await Workspace.get(id=workspace.id))).misfit is None
    assert await history.sweep() == 1
    assert await StoredObject.filter(kind="state").count() == 1


async def test_of_snapshots_with_one_serial_the_later_becomes_current() -> None:
    run = await factories.make_run()
    workspace = await Workspace.get(id=run.workspace_id)
    applying = of_run(RunClaims(run.id, "job-1", "apply", workspace.id, workspace.organization_id))
    for note in "abcde":
        await push(applying, workspace, state(3, note=note), 3, intermediate=True)
    await moves.move(run, "fail")
    assert await current(workspace) == state(3, note="e")


async def test_snapshots_go_when_the_final_state_has_come() -> None:
    run = await factories.make_run()
    workspace = await Workspace.get(id=run.workspace_id)
    applying = of_run(RunClaims(run.id, "job-1", "apply", workspace.id, workspace.organization_id))
    await push(applying, workspace, state(1), 1, intermediate=True)
    await push(applying, workspace, state(2), 2)
    await moves.move(run, "fail")
    assert await current(workspace) == state(2)
    await history.sweep()
    assert await StateVersion.filter(workspace_id=workspace.id).count() == 1


async def test_a_dead_runs_state_is_recovered_while_nobody_else_holds_the_lock() -> None:
    run = await factories.make_run()
    workspace = await Workspace.get(id=run.workspace_id)
    await states.recover(workspace, run.id, chunked(state(4)))
    assert await current(workspace) == state(4)
    with pytest.raises(Conflict, match="serial"):
        await states.recover(workspace, run.id, chunked(state(3)))
    with pytest.raises(Invalid):
        await states.recover(workspace, run.id, chunked(b"torn {"))
    await moves.move(run, "fail")
    await states.recover(workspace, run.id, chunked(state(5)))
    assert await current(workspace) == state(5)
    await factories.make_run(workspace=workspace)
    with pytest.raises(Conflict, match="lock"):
        await states.recover(workspace, run.id, chunked(state(9)))
    assert await StoredObject.filter(kind="state").count() == 2


async def test_the_system_may_write_without_a_lock_of_its_own(workspace: Workspace) -> None:
    await push(SYSTEM, workspace, state(), 1)
    assert await current(workspace) == state()


@pytest.mark.parametrize("is_inline", [True, False])
async def test_a_lineage_the_request_does_not_name_is_compared_all_the_same(
    is_inline: bool, writer: Actor, workspace: Workspace
) -> None:
    await push(writer, workspace, state(5), 5)
    foreign = state(6, "another")
    inline = base64.b64encode(foreign).decode() if is_inline else None

    async def offer() -> None:
        version = await states.create(writer, workspace, announced(foreign, 6, "", state=inline))
        await states.receive(version.id, chunked(foreign))

    with pytest.raises(Conflict, match="lineage"):
        await offer()
    assert await current(workspace) == state(5)
    forced = announced(foreign, 6, "", force=True, state=base64.b64encode(foreign).decode())
    assert (await states.create(writer, workspace, forced)).forced
    assert await current(workspace) == foreign


@pytest.mark.parametrize(
    ("content", "inline"),
    [
        (state(), base64.b64encode(b"not json").decode()),
        (state(), base64.b64encode(state(2)).decode()),
        (state(), "not base64!"),
    ],
)
async def test_a_refused_inline_state_does_not_hold_the_lock(
    content: bytes, inline: str, writer: Actor, workspace: Workspace
) -> None:
    with pytest.raises(Invalid):
        await states.create(writer, workspace, announced(content, state=inline))
    assert await StateVersion.filter(status="pending").count() == 0
    await workspaces.unlock(writer, await Workspace.get(id=workspace.id))


async def test_a_late_upload_that_can_no_longer_follow_does_not_hold_the_lock(
    writer: Actor, workspace: Workspace
) -> None:
    late = await states.create(writer, workspace, announced(state(1, note="late")))
    await push(writer, workspace, state(1), 1)
    with pytest.raises(Conflict, match="a newer state came before them"):
        await states.receive(late.id, chunked(state(1, note="late")))
    await workspaces.unlock(writer, await Workspace.get(id=workspace.id))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("18446744073709551616", '"number"'),
        ("1e300000", '"number"'),
        ("-1.5e400", '"number"'),
        ("1e9000000", '"number"'),
        ("1e-9000000", '"number"'),
        ('"a\\u0000b"', '"string"'),
        ('{"n": [1e30, {"deep": null}]}', '["object", {"n": "dynamic"}]'),
    ],
)
async def test_an_output_is_kept_as_the_state_writes_it_however_large(
    value: str, kind: str, writer: Actor, workspace: Workspace
) -> None:
    text = f'{{"version":4,"serial":1,"lineage":"{LINEAGE}","outputs":{{"x":{{"value":{value},"type":{kind}}}}}}}'
    await push(writer, workspace, text.encode(), 1)
    assert await current(workspace) == text.encode()
    [output] = await outputs.current(writer, await Workspace.get(id=workspace.id))
    shown = orjson.dumps(outputs.value(output)).decode()
    assert json.loads(shown, parse_float=Decimal, parse_int=Decimal) == json.loads(
        value, parse_float=Decimal, parse_int=Decimal
    )


@pytest.mark.parametrize(
    "change",
    [
        {"serial": "1e5000"},
        {"serial": "1e9000000"},
        {"serial": "9" * 5000},
        {"serial": "-1"},
        {"serial": "1.5"},
        {"version": "5000000000"},
        {"lineage": json.dumps("x" * 5000)},
        {"lineage": json.dumps("a\0b")},
        {"outputs": '{"x":{"value":' + "[" * 5000 + "]" * 5000 + "}}"},
    ],
)
async def test_a_state_no_terraform_writes_is_refused_and_holds_no_lock(
    change: dict[str, str], writer: Actor, workspace: Workspace
) -> None:
    members = {"version": "4", "serial": "1", "lineage": json.dumps(LINEAGE), **change}
    content = ("{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}").encode()
    inline = announced(content, 1, "", state=base64.b64encode(content).decode())
    with pytest.raises(Invalid):
        await states.create(writer, workspace, inline)
    await workspaces.unlock(writer, await Workspace.get(id=workspace.id))


async def test_odd_texts_in_a_state_are_no_reason_to_refuse_it(writer: Actor, workspace: Workspace) -> None:
    odd = "n\0" + "x" * 3000
    document = {
        "version": 4,
        "serial": 1,
        "lineage": LINEAGE,
        "terraform_version": odd,
        "outputs": {odd: {"value": odd, "type": odd}},
        "resources": [{"mode": "managed", "type": odd, "name": odd, "provider": odd, "instances": [{}]}],
    }
    content = json.dumps(document).encode()
    await push(writer, workspace, content, 1)
    assert await current(workspace) == content
