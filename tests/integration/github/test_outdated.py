"""A pull request's plan is marked as outdated where its base or the state moved on, and only there."""

from __future__ import annotations

from typing import Any

from app import organizations, runs
from app.access.actors import SYSTEM
from app.runs import RunOptions
from app.runs.models import Run
from app.workspaces.models import Workspace
from github_app.models import Check
from tests import factories
from tests.api import Client, attributes
from tests.github import messages
from tests.integration.github.scene import Scene, scene

__all__ = ["scene"]


async def planned(workspace: Workspace) -> Run:
    """The newest run of *workspace*, its plan finished against today's state."""
    fresh = await Workspace.get(id=workspace.id)
    run = await factories.plan(await Run.get(id=fresh.latest_run_id))
    await Run.filter(id=run.id).update(input_state_version_id=fresh.current_state_version_id)
    return run


async def test_a_plan_is_outdated_once_the_base_or_the_state_moved_on(scene: Scene, anonymous: Client) -> None:
    owner = await factories.make_user("alice")
    await organizations.add_owner(SYSTEM, scene.organization, owner)
    alice = await anonymous.as_user(owner)
    network = await scene.follow("network", working_directory="network", queue_all_runs=False)

    async def push_to(branch: str, content: str) -> str:
        """Only what is pushed to the feature touches the workspace's files: nothing else makes a run."""
        before = scene.there.head(branch) or messages.ZERO
        name = "network/main.tf" if branch == "feature" else "main.tf"
        sha = scene.there.commit(branch, {name: content}, content)
        await scene.hear("push", messages.push(scene.there, f"refs/heads/{branch}", before, sha))
        return sha

    async def outdated(run: Run) -> dict[str, Any] | None:
        found: dict[str, Any] | None = attributes(await alice.get(f"/runs/{run.id}"))["outdated"]
        listed = (await alice.get(f"/workspaces/{network.id}/runs?filter[operation]=plan_only")).json()["data"]
        assert {one["id"]: one["attributes"]["outdated"] for one in listed}[run.id] == found
        return found

    base = await push_to("main", "# begin")
    await runs.cancel(SYSTEM, await runs.create(SYSTEM, await Workspace.get(id=network.id), None, RunOptions()))
    await push_to("feature", "# change")
    pull = scene.there.open_pull("feature")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "opened"))
    _, waiting = await scene.runs(network)
    await push_to("elsewhere", "# another branch")
    assert await outdated(waiting) is None
    run = await planned(network)
    assert await outdated(run) is None
    said = await Check.get(run_id=run.id)

    moved = await push_to("main", "# goes on")
    assert await outdated(run) == {
        "causes": ["base"],
        "sentence": f"The plan is for a merge into {base[:7]}, and main has moved on to {moved[:7]}.",
        "remedy": "Bring the pull request's branch up to date with main: the new commit is planned by itself.",
    }
    await factories.make_state(network, 3)
    both = await outdated(run)
    assert both is not None
    assert both["causes"] == ["state", "base"]
    assert both["sentence"].startswith("The state has moved since this plan was made, from no state to serial 3. The")
    assert (await Check.get(run_id=run.id)).wanted == said.wanted

    await push_to("feature", "# merged main")
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "synchronize"))
    newer = await planned(network)
    assert await outdated(newer) is None
    superseded = await outdated(run)
    assert superseded is not None
    assert superseded["causes"] == ["state"]
    await push_to("main", "# further still")
    pull.state = "closed"
    await scene.hear("pull_request", messages.pull_request(scene.there, pull, "closed"))
    assert await outdated(newer) is None
