"""Another key, while everything goes on: nothing is lost, no object is touched, and the old key can go."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from tortoise import Tortoise, fields

from app.access import sessions, tokens
from app.cli import processes
from app.errors import Conflict
from app.http import signed_urls
from app.runs import snapshot
from app.settings import Settings
from app.storage import keys, objects, rotation, stores
from app.storage.models import KeyInUse, StoredObject
from app.variables import values
from app.variables.models import Variable
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.cli.commands import environment, stateroom
from tests.services import Parts


async def stored_anew(content: bytes = b"content") -> StoredObject:
    stored = await objects.put("state", "org-1", content)
    await stored.save()
    return stored


async def etags() -> dict[str, object]:
    """Every object and what changes when it is written."""
    store = objects._opened()
    if isinstance(store, stores.Files):
        files = [path for path in store.root.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}
    import obstore

    assert isinstance(store, stores.Bucket)
    entries = [entry for batch in obstore.list(store._store) for entry in batch]
    return {entry["path"]: (entry["e_tag"], entry["last_modified"]) for entry in entries}


async def test_everything_opens_under_the_next_key_and_the_old_one_can_be_dropped(opened: Settings) -> None:
    before = keys.current().active
    stored = await stored_anew()
    user = await factories.make_user()
    token = await factories.make_token(user)
    _, cookie = await sessions.start(user)
    run = await factories.make_run()
    variable = await factories.make_variable(await Workspace.get(id=run.workspace_id), value="hush", sensitive=True)
    written = await etags()

    done = await rotation.rotate(opened)
    assert (done.resumed, done.damaged) == (False, [])
    assert done.active == keys.current().active != before
    assert (await rotation.counts())[before] == 0
    assert await etags() == written
    assert await objects.read(await StoredObject.get(id=stored.id)) == b"content"
    assert values.reveal(await Variable.get(id=variable.id)).reveal() == "hush"
    assert await snapshot.read(run) == []

    with pytest.raises(Conflict, match="Links signed with"):
        await rotation.drop(opened, before)
    with pytest.raises(Conflict, match="is active"):
        await rotation.drop(opened, done.active)
    await rotation.drop(opened, before, at_once=True)
    ring = await keys.open_ring(opened)
    assert list(ring.keys) == [done.active]
    tokens.forget_known()
    assert (await tokens.authenticate(token)).id == user.id
    assert await sessions.find(cookie.reveal()) is not None
    assert await objects.read(await StoredObject.get(id=stored.id)) == b"content"


async def test_a_state_under_an_old_key_opens_before_it_is_encrypted_anew(opened: Settings) -> None:
    stored = await stored_anew()
    path = keys.key_file(opened)
    keys.save(keys.with_new_key(keys.current()), path, replace_it=True)
    assert keys.current().active != stored.key_id
    assert await objects.read(await StoredObject.get(id=stored.id)) == b"content"
    assert (await stored_anew()).key_id == keys.current().active


async def test_a_key_file_that_became_unreadable_stops_nobody(opened: Settings) -> None:
    stored, path = await stored_anew(), keys.key_file(opened)
    whole = path.read_bytes()
    for wrong in (b"", b"{}", b"\xff"):
        path.write_bytes(wrong)
        assert await objects.read(await StoredObject.get(id=stored.id)) == b"content"
        await stored_anew()
    path.unlink()
    await stored_anew()
    path.write_bytes(whole)
    assert keys.current().active == stored.key_id


async def test_who_was_killed_goes_on_where_it_was(opened: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at each step of the switch: the next call ends it with one new key, not with two."""
    first = keys.current().active
    save, calls = keys.save, 0

    def dies(ring: keys.KeyRing, path: Path, *, replace_it: bool = False) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("killed before the key is active")
        save(ring, path, replace_it=replace_it)

    monkeypatch.setattr(keys, "save", dies)
    await stored_anew()
    with pytest.raises(RuntimeError):
        await rotation.rotate(opened)
    assert keys.current().active == first
    await keys.open_ring(opened)
    with monkeypatch.context() as killed:
        killed.setattr(rotation, "rewrap", _dies)
        with pytest.raises(RuntimeError):
            await rotation.rotate(opened)
    done = await rotation.rotate(opened)
    assert (done.resumed, len(keys.current().keys), done.active != first) == (True, 2, True)
    assert (await rotation.counts())[first] == 0
    assert (await KeyInUse.get(key_id=first)).retired_at is not None
    assert (await rotation.rotate(opened)).resumed is False
    assert len(keys.current().keys) == 3


async def _dies(done: rotation.Rotated) -> None:
    raise RuntimeError("killed before anything was encrypted anew")


async def test_a_damaged_row_is_named_and_keeps_nobody_else(opened: Settings) -> None:
    bad, good = await stored_anew(), await stored_anew()
    await StoredObject.filter(id=bad.id).update(wrapped_key=b"x" * 72)
    done = await rotation.rotate(opened)
    assert [bad.id in what for what in done.damaged] == [True]
    assert (await StoredObject.get(id=good.id)).key_id == done.active
    with pytest.raises(Conflict, match=r"^1 row hangs on"):
        await rotation.drop(opened, bad.key_id, at_once=True)


async def test_a_prepared_key_is_the_next_one(opened: Settings) -> None:
    waits = await rotation.prepare(opened)
    assert await rotation.prepare(opened) == waits != keys.current().active
    assert (await rotation.rotate(opened)).active == waits


async def test_a_link_signed_before_or_elsewhere_still_holds(opened: Settings) -> None:
    from app.asgi import signing_key

    signed_urls.configure(lambda: signing_key(keys.current()))
    old = signed_urls.sign("kind", "id", base_url="")
    await rotation.rotate(opened)
    new = signed_urls.sign("kind", "id", base_url="")
    for link in (old, new):
        assert signed_urls.verify(link.rpartition("/")[2]).id == "id"


WRITER = """
import asyncio, json, sys
from app import settings
from app.storage import crypto, database, keys, objects

async def main():
    given = settings.load(**json.loads(sys.argv[1]))
    async with database.connected(given):
        await keys.open_ring(given)
        objects.connect(given)
        print("ready", flush=True)
        for number in range(100_000):
            stored = await objects.put("state", "org-1", b"%d" % number)
            await stored.save()
            print(stored.id, stored.key_id, flush=True)
            await asyncio.sleep(0.005)

asyncio.run(main())
"""


async def test_a_writer_in_another_process_loses_nothing_while_the_command_rotates(
    opened: Settings, parts: Parts, tmp_path: Path
) -> None:
    """The command is killed on its way, too, and asked again."""
    given = {
        "data_dir": str(tmp_path),
        "database_url": parts.database_url,
        "objects_url": parts.objects_url,
        "objects_options": parts.objects_options,
    }
    for _ in range(300):
        await stored_anew(b"x")
    first = keys.current().active
    pipe = asyncio.subprocess.PIPE
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, json.dumps(given), stdout=pipe, env=environment(**parts.environment)
    )
    assert writer.stdout is not None
    lines = [await asyncio.wait_for(writer.stdout.readline(), 60)]
    command = [*processes.COMMAND, "keys", "rotate", "--data", str(tmp_path)]
    killed = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env=environment(**parts.environment)
    )
    while keys.current().active == first:
        lines.append(await asyncio.wait_for(writer.stdout.readline(), 60))
    killed.kill()
    await killed.wait()
    ended = await asyncio.to_thread(stateroom, "keys", "rotate", "--json", "--data", str(tmp_path), **parts.environment)
    assert ended.returncode == 0, ended.stderr
    second = json.loads(ended.stdout)["active"]
    while second.encode() not in lines[-1]:
        lines.append(await asyncio.wait_for(writer.stdout.readline(), 60))
    os.kill(writer.pid, signal.SIGKILL)
    lines += (await writer.stdout.read()).splitlines()
    await writer.wait()
    written = [line.split() for line in lines if len(line.split()) == 2 and len(line.split()[1]) == len(second)]
    assert {key.decode() for _, key in written} <= {first, *keys.current().keys}
    for id, _ in written:
        await objects.read(await StoredObject.get(id=id.decode()))
    text = ended.stdout + ended.stderr + stateroom("keys", "list", "--data", str(tmp_path), **parts.environment).stdout
    secrets = json.loads(keys.key_file(opened).read_text())["keys"].values()
    assert all(secret not in text for secret in secrets)
    assert f"{second}  active" in text


def test_every_sealed_column_says_what_it_is_bound_to(opened: Settings) -> None:
    found = {(model._meta.db_table, column) for model, column in rotation.sealed_columns()}
    assert found == {
        ("github_apps", "sealed_client_secret"),
        ("github_apps", "sealed_old_webhook_secret"),
        ("github_apps", "sealed_private_key"),
        ("github_apps", "sealed_webhook_secret"),
        ("github_delivery_bodies", "sealed_body"),
        ("lasting_keys", "sealed_key"),
        ("run_snapshots", "sealed_variables"),
        ("state_version_outputs", "sealed_value"),
        ("variable_set_variables", "sealed_value"),
        ("variables", "sealed_value"),
    }
    for model in Tortoise.apps["models"].values():
        binary = {name for name, field in model._meta.fields_map.items() if isinstance(field, fields.BinaryField)}
        forgotten = binary - {column for of, column in rotation.sealed_columns() if of is model}
        assert forgotten == ({"wrapped_key"} if model is StoredObject else set()), model
