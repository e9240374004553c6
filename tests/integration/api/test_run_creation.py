"""What a request for a run may ask for, and what it may not."""

from __future__ import annotations

from app.organizations.models import Organization
from app.runs.models import Run
from tests import factories
from tests.api import Client, document, pointer


async def test_what_a_run_would_not_heed_is_refused_and_not_ignored(client: Client, organization: Organization) -> None:
    workspace = await factories.make_workspace(organization)
    await factories.make_configuration_version(workspace)
    related = {"workspace": {"data": {"type": "workspaces", "id": workspace.id}}}
    for name in ("invoke-action-addrs", "policy-paths"):
        refused = await client.post("/runs", document("runs", {name: ["action.a.b"]}, related))
        assert pointer(refused) == f"/data/attributes/{name}"
        assert (await client.post("/runs", document("runs", {name: None}, related))).status_code == 201
        assert (await client.post("/runs", document("runs", {name: []}, related))).status_code == 201
    assert await Run.all().count() == 4
