"""Reasons, comments and messages of any length, with whatever a terminal or a page would obey in them."""

from __future__ import annotations

from typing import Any

import pytest

from app.organizations.models import Organization
from app.runs.models import Comment, RunEvent
from app.workspaces.models import Workspace
from tests import factories
from tests.api import Client, attributes, document, error, pointer

HOSTILE = "\x1b[2J\x1b]0;owned\x07all\r\ngood\x9b31m \u202etxt.exe\u2066 \x7f\x08שלום"
HARMLESS = "all\ngood txt.exe שלום"


async def test_what_a_terminal_would_obey_is_not_kept(client: Client, organization: Organization) -> None:
    workspace = await factories.make_workspace(organization)
    locked = await client.post(f"/workspaces/{workspace.id}/actions/lock", {"reason": HOSTILE})
    assert locked.status_code == 200
    assert (await Workspace.get(id=workspace.id)).locked_reason == HARMLESS
    run = await factories.make_run(workspace, message=HOSTILE)
    made = await client.post(f"/runs/{run.id}/comments", document("comments", {"body": HOSTILE}))
    assert attributes(made)["body"] == HARMLESS
    assert attributes(await client.get(f"/runs/{run.id}"))["message"] == HARMLESS
    assert (await client.post(f"/runs/{run.id}/actions/discard", {"comment": HOSTILE})).status_code == 202
    assert {comment.body for comment in await Comment.filter(run_id=run.id)} == {HARMLESS}
    nothing = await client.post(f"/runs/{run.id}/comments", document("comments", {"body": "\x1b\u202e \n"}))
    assert nothing.status_code == 422


#: Where it is sent, what, and where the refusal points.
LONG: list[tuple[str, Any, str]] = [
    ("/workspaces/{workspace}/actions/lock", {"reason": "x" * 1_000_000}, "/reason"),
    ("/runs/{run}/comments", document("comments", {"body": "x" * 100_000}), "/data/attributes/body"),
    ("/runs/{run}/actions/cancel", {"comment": "x" * 100_000}, "/comment"),
    ("/runs/{run}/actions/cancel", document("", {"comment": "x" * 100_000}), "/data/attributes/comment"),
]


@pytest.mark.parametrize(("path", "sent", "at"), LONG, ids=["lock", "comments", "cancel", "cancel by a document"])
async def test_what_is_too_long_is_refused_naming_the_limit_and_changes_nothing(
    client: Client, organization: Organization, path: str, sent: Any, at: str
) -> None:
    workspace = await factories.make_workspace(organization)
    run = await factories.make_run(workspace)
    response = await client.post(path.format(workspace=workspace.id, run=run.id), sent)
    assert pointer(response) == at
    assert "at most" in error(response)["detail"]
    after = await Workspace.get(id=workspace.id)
    assert (after.locked_by_user_id, after.locked_by_run_id) == (None, run.id)
    assert await RunEvent.filter(run_id=run.id, action__in=["comment", "stop"]).count() == 0


async def test_a_long_message_is_cut_since_a_commit_may_have_one(client: Client, organization: Organization) -> None:
    run = await factories.make_run(await factories.make_workspace(organization), message="x" * 100_000)
    message = attributes(await client.get(f"/runs/{run.id}"))["message"]
    assert (len(message), message[-2:]) == (2048, "x…")
