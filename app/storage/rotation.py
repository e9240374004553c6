"""Another key for everything stored, while everything runs.

The key file gets a fresh key and calls it active: from then on every process encrypts with it (`keys.current`).  Then
whatever rows hold under older keys is encrypted anew, row by row, each compared and swapped; objects are not touched,
since their own keys are in rows.  Whoever is killed in between asks again, and the rest is done.
"""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tortoise import Tortoise
from tortoise.models import Model

from app import clock
from app.errors import Conflict, NotFound
from app.settings import Settings
from app.storage import crypto, database, keys, objects
from app.storage.database import in_transaction
from app.storage.keys import KeyRing, KeyRingError
from app.storage.models import KeyInUse, StoredObject

BATCH = 200
SEALED = "sealed_"


@dataclass(frozen=True, slots=True)
class Known:
    """A key as `stateroom keys list` tells of it; never the key itself."""

    id: str
    status: str  # active, prepared, retired
    rows: int
    since: datetime | None
    retired_at: datetime | None
    may_be_dropped_at: datetime | None


@dataclass(slots=True)
class Rotated:
    """What one call did.  `damaged` are rows that could not be read, and so hang on their old key for ever."""

    active: str
    resumed: bool
    rewrapped: int = 0
    damaged: list[str] = field(default_factory=list)


async def rotate(settings: Settings) -> Rotated:
    """Make another key active, or finish what an earlier call began, and encrypt anew what hangs on older ones."""
    with _alone(settings) as path:
        ring = keys.current()
        hanging = {key: count for key, count in (await counts()).items() if key != ring.active and count}
        waits = keys.prepared(ring)
        if waits is None and not hanging:
            ring = keys.with_prepared_key(ring)
            keys.save(ring, path, replace_it=True)
            waits = keys.prepared(ring)
        if waits is not None:
            await KeyInUse.get_or_create(key_id=waits)  # a key file that lacks it is refused from here on
            keys.save(replace(ring, active=waits), path, replace_it=True)
        active = keys.current().active
        await KeyInUse.filter(retired_at=None).exclude(key_id=active).update(retired_at=clock.now())
        done = Rotated(active, resumed=waits is None)
        await rewrap(done)
        return done


async def prepare(settings: Settings) -> str:
    """Add a key that is not active yet, to be brought to every machine before it is.  Its id."""
    with _alone(settings) as path:
        ring = keys.current()
        waits = keys.prepared(ring)
        if waits is None:
            ring = keys.with_prepared_key(ring)
            keys.save(ring, path, replace_it=True)
            waits = keys.prepared(ring)
        assert waits is not None
        return waits


async def drop(settings: Settings, key_id: str, *, at_once: bool = False) -> None:
    """Take a retired key out of the ring.  Raises Conflict while anything hangs on it."""
    with _alone(settings) as path:
        known = next((one for one in await listed(settings) if one.id == key_id), None)
        if known is None:
            raise NotFound(f"The key ring has no key {key_id}. `stateroom keys list` shows those it has.")
        if known.status != "retired":
            raise Conflict(f"The key {key_id} is {known.status}; only a retired one can be dropped.")
        if known.rows:
            hang = "1 row hangs" if known.rows == 1 else f"{known.rows} rows hang"
            raise Conflict(f"{hang} on the key {key_id}. Run `stateroom keys rotate` first.")
        if known.may_be_dropped_at is not None and known.may_be_dropped_at > clock.now() and not at_once:
            raise Conflict(
                f"Links signed with the key {key_id} hold until {clock.wire(known.may_be_dropped_at)}. Wait, or say"
                " --now: uploads and logs that use such a link break off."
            )
        ring = keys.current()
        await KeyInUse.filter(key_id=key_id).delete()
        keys.save(replace(ring, keys={id: key for id, key in ring.keys.items() if id != key_id}), path, replace_it=True)


async def listed(settings: Settings) -> list[Known]:
    """The keys of the ring, and what hangs on each."""
    ring, hanging = keys.current(), await counts()
    used = {row.key_id: row for row in await KeyInUse.all()}
    return [_known(settings, ring, key_id, hanging[key_id], used.get(key_id)) for key_id in ring.keys]


def _known(settings: Settings, ring: KeyRing, key_id: str, rows: int, used: KeyInUse | None) -> Known:
    status = "active" if key_id == ring.active else "prepared" if key_id == keys.prepared(ring) else "retired"
    retired_at = used.retired_at if used and status == "retired" else None
    free_at = retired_at + timedelta(seconds=settings.signed_url_life) if retired_at and not rows else None
    return Known(key_id, status, rows, used.since if used else None, retired_at, free_at)


async def counts() -> Counter[str]:
    """How many rows hang on each key."""
    client = database.client()
    found: Counter[str] = Counter()
    for row in await client.execute_query_dict("SELECT key_id, count(*) AS n FROM stored_objects GROUP BY key_id"):
        found[row["key_id"]] += row["n"]
    length = len(keys.current().active)
    for model, column in sealed_columns():
        head = f'substr("{column}", 3, {length})'
        table = model._meta.db_table
        for row in await client.execute_query_dict(
            f'SELECT {head} AS head, count(*) AS n FROM "{table}" WHERE "{column}" IS NOT NULL GROUP BY {head}'
        ):
            found[bytes(row["head"]).decode("ascii", "replace")] += row["n"]
    return found


async def rewrap(done: Rotated) -> None:
    """Encrypt anew what hangs on another key than the active one; twice changes nothing."""
    await _rewrap_objects(done)
    for model, column in sealed_columns():
        await _reseal(model, column, done)


def sealed_columns() -> Iterator[tuple[type[Any], str]]:
    """Every column of sealed values.  Its model says by `sealed_context` what they are bound to."""
    for model in Tortoise.apps["models"].values():
        for name in sorted(model._meta.fields_db_projection):
            if name.startswith(SEALED):
                if not hasattr(model, "sealed_context"):
                    raise TypeError(f"{model.__name__}.{name} is sealed, and the model has no sealed_context")
                yield model, name


async def _rewrap_objects(done: Rotated) -> None:
    active, last = keys.current().active, ""
    while rows := await StoredObject.filter(id__gt=last).exclude(key_id=active).order_by("id").limit(BATCH):
        async with in_transaction():
            for row in rows:
                try:
                    done.rewrapped += await objects.rewrap(row)
                except crypto.Damaged as damage:
                    done.damaged.append(f"stored_objects {row.id}: {damage.sentence}")
        last = rows[-1].id


async def _reseal(model: type[Model], column: str, done: Rotated) -> None:
    active, last, name = keys.current().active, "", model._meta.pk_attr
    while names := await model.filter(**{f"{name}__gt": last}).order_by(name).limit(BATCH).values_list(name, flat=True):
        async with in_transaction():
            for pk in names:  # one at a time: some values are long
                try:
                    done.rewrapped += await _reseal_one(await model.filter(**{name: pk}).first(), column, active)
                except crypto.Damaged as damage:
                    done.damaged.append(f"{model._meta.db_table} {pk}: {damage.sentence}")
        last = str(names[-1])


async def _reseal_one(row: Any, column: str, active: str) -> int:
    """1 if it was sealed anew; what somebody wrote meanwhile is left, for it is sealed with the active key."""
    old = getattr(row, column, None)
    if old is None or crypto.key_of(old := bytes(old)) == active:
        return 0
    sealed = crypto.seal(crypto.open_sealed(old, context=row.sealed_context), context=row.sealed_context)
    return int(await type(row).filter(**{row._meta.pk_attr: row.pk, column: old}).update(**{column: sealed}))


@contextmanager
def _alone(settings: Settings) -> Iterator[Path]:
    """The key file, for one command at a time."""
    path = keys.source_file(settings)
    if path is None:
        raise KeyRingError(
            "The keys come from STATEROOM_KEYS (or the settings' file), which no command can change. Put them into a"
            " file of their own and name it in STATEROOM_KEYS_FILE."
        )
    try:
        with path.with_name(path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
    except BlockingIOError:
        raise Conflict(f"Another command is changing {path}. Let it end.") from None
    except PermissionError as error:
        raise KeyRingError(f"The key file {path} cannot be replaced: {error.strerror}.") from error
