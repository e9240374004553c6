"""What people ask for, each as an ordinary call of the domain.  A refusal is an answer; any other error is a bug."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from app import runs, states, workspaces
from app.access.actors import Actor as Caller
from app.configurations.models import ConfigurationVersion
from app.errors import StateroomError
from app.runs import RunOptions, lifecycle, logs
from app.runs.models import Run
from app.states import NewState
from app.states.models import StateVersion
from app.workspaces.models import Workspace
from tests.simulation.actors import Actor
from tests.simulation.invariants import require
from tests.simulation.observing import Sight

#: Kinds of run, and how often each is asked for.
KINDS: tuple[tuple[int, RunOptions], ...] = (
    (4, RunOptions()),
    (4, RunOptions(auto_apply=True)),
    (2, RunOptions(plan_only=True)),
    (3, RunOptions(save_plan=True)),
    (1, RunOptions(is_destroy=True)),
    (1, RunOptions(refresh_only=True)),
    (1, RunOptions(allow_empty_apply=True)),
)

Deed = Callable[["Person", Sight], "tuple[str, Awaitable[object]] | None"]


@dataclass
class Reading:
    """What anybody has ever seen of each log: no byte of it may change."""

    seen: dict[str, bytes] = field(default_factory=dict)

    def saw(self, phase_id: str, offset: int, data: bytes) -> None:
        known = self.seen.get(phase_id, b"")
        both = known[offset : offset + len(data)]
        require(data[: len(both)] == both, f"the log of {phase_id} changed at {offset}: {both!r} became {data!r}")
        if offset <= len(known) < offset + len(data):
            require(not known.endswith(b"\x03"), f"the log of {phase_id} went on after its end: {data!r}")
            self.seen[phase_id] = known[:offset] + data


@dataclass(eq=False)
class Person:
    actor: Actor
    caller: Caller
    user_id: str
    chance: Random
    reading: Reading

    def thinks(self, sight: Sight) -> bool:
        """Begin something that makes sense, or nearly.  False if nothing came to mind."""
        deed = self.chance.choices([deed for _, deed in DEEDS], [weight for weight, _ in DEEDS])[0]
        found = deed(self, sight)
        if found is None:
            return False
        self.actor.doing, work = found
        self.actor.begin(_answered(work))
        return True

    def run_like(self, sight: Sight, fits: Callable[[Run], bool]) -> str | None:
        found = sorted(id for id, run in sight.runs.items() if fits(run))  # type: ignore[arg-type]
        return self.chance.choice(found) if found else None

    def workspace(self, sight: Sight) -> str:
        return self.chance.choice(sorted(sight.workspaces))


async def _answered(work: Awaitable[object]) -> None:
    try:
        await work
    except StateroomError:
        return


def _on_run(verb: str, action: Callable[[Caller, Run], Awaitable[object]], fits: Callable[[Run], bool]) -> Deed:
    def deed(person: Person, sight: Sight) -> tuple[str, Awaitable[object]] | None:
        run_id = person.run_like(sight, fits)
        if run_id is None:
            return None

        async def work() -> None:
            await action(person.caller, await runs.find(person.caller, run_id))

        return f"{verb} {run_id}", work()

    return deed


def _create(person: Person, sight: Sight) -> tuple[str, Awaitable[object]]:
    workspace_id = person.workspace(sight)
    options = person.chance.choices([kind for _, kind in KINDS], [weight for weight, _ in KINDS])[0]

    async def work() -> None:
        workspace = await Workspace.get(id=workspace_id)
        version = await ConfigurationVersion.filter(workspace_id=workspace_id).first()
        await runs.create(person.caller, workspace, version, options)

    return f"create a run in {workspace_id}", work()


def _lock(person: Person, sight: Sight) -> tuple[str, Awaitable[object]]:
    workspace_id = person.workspace(sight)

    async def work() -> None:
        await workspaces.lock(person.caller, await Workspace.get(id=workspace_id), "because")

    return f"lock {workspace_id}", work()


def _unlock(person: Person, sight: Sight) -> tuple[str, Awaitable[object]] | None:
    mine = sorted(id for id, workspace in sight.workspaces.items() if workspace.locked_by_user_id == person.user_id)
    if not mine:
        return None
    workspace_id = person.chance.choice(mine)

    async def work() -> None:
        await workspaces.unlock(person.caller, await Workspace.get(id=workspace_id))

    return f"unlock {workspace_id} {person.user_id}", work()


def _force_unlock(person: Person, sight: Sight) -> tuple[str, Awaitable[object]] | None:
    locked = sorted(id for id, one in sight.workspaces.items() if one.locked_by_user_id or one.locked_by_run_id)
    if not locked:
        return None
    workspace_id = person.chance.choice(locked)

    async def work() -> None:
        await workspaces.force_unlock(person.caller, await Workspace.get(id=workspace_id))

    return f"force-unlock {workspace_id}", work()


def _upload(person: Person, sight: Sight) -> tuple[str, Awaitable[object]]:
    """A state of one's own: taken only from who holds the lock."""
    workspace_id = person.workspace(sight)

    async def work() -> None:
        workspace = await Workspace.get(id=workspace_id)
        now = await StateVersion.get_or_none(id=workspace.current_state_version_id)
        content = json.dumps(
            {
                "version": 4,
                "serial": (now.serial if now else 0) + person.chance.randint(0, 1) + 1,
                "lineage": f"lineage-{workspace_id}",
                "resources": [],
            }
        ).encode()
        new = NewState(
            serial=json.loads(content)["serial"],
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
            lineage=f"lineage-{workspace_id}",
            state=base64.b64encode(content).decode() if person.chance.random() < 0.8 else None,
        )
        await states.create(person.caller, workspace, new)

    return f"upload a state to {workspace_id}", work()


def _roll_back(person: Person, sight: Sight) -> tuple[str, Awaitable[object]] | None:
    found = sorted(id for id, version in sight.versions.items() if version.status == "finalized")
    if not found:
        return None
    version_id = person.chance.choice(found)

    async def work() -> None:
        workspace = await Workspace.get(id=sight.versions[version_id].workspace_id)
        await states.rollback(person.caller, workspace, version_id)

    return f"rollback to {version_id}", work()


def _delete(person: Person, sight: Sight) -> tuple[str, Awaitable[object]]:
    workspace_id = person.workspace(sight)

    async def work() -> None:
        await workspaces.safe_delete(person.caller, await Workspace.get(id=workspace_id))

    return f"delete {workspace_id}", work()


def _read(person: Person, sight: Sight) -> tuple[str, Awaitable[object]] | None:
    known = sorted(id for id, phase in sight.phases.items() if phase.log_length or id in person.reading.seen)
    known = known or sorted(sight.phases)
    if not known:
        return None
    phase_id = person.chance.choice(known)
    far = len(person.reading.seen.get(phase_id, b""))
    offset = far if person.chance.random() < 0.7 else person.chance.randint(0, far)

    async def work() -> None:
        person.reading.saw(phase_id, offset, await logs.read(phase_id, offset, 64 * 1024))

    return f"read {phase_id} from {offset}", work()


async def _comment(caller: Caller, run: Run) -> None:
    await runs.comment(caller, run, "Looks good.")


def _is_anything(run: Run) -> bool:
    return True


def _is_not_final(run: Run) -> bool:
    return not lifecycle.is_final(run)


DEEDS: list[tuple[int, Deed]] = [
    (10, _create),
    (7, _on_run("confirm", runs.confirm, lifecycle.is_confirmable)),
    (2, _on_run("discard", runs.discard, lifecycle.is_discardable)),
    (4, _on_run("cancel", runs.cancel, _is_not_final)),
    (3, _on_run("force-cancel", runs.force_cancel, lambda run: run.cancel_requested_at is not None)),
    (1, _on_run("comment on", _comment, _is_anything)),
    (2, _lock),
    (2, _unlock),
    (1, _force_unlock),
    (2, _upload),
    (1, _roll_back),
    (1, _delete),
    (4, _read),
]
if hasattr(runs, "force_execute"):
    DEEDS.append((2, _on_run("force-execute", runs.force_execute, lifecycle.is_pending)))
