"""What a request for a run may ask for, and what it may not."""

from __future__ import annotations

import pytest

from app.organizations.models import Organization
from app.runs import addresses
from app.runs.models import Run
from app.variables import values
from tests import factories
from tests.api import Client, document, error, pointer


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


LONGEST = "a" * addresses.MOST_OF_ADDRESS


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_addresses_terraform_could_not_be_started_with_are_refused(
    client: Client, organization: Organization
) -> None:
    workspace = await factories.make_workspace(organization)
    await factories.make_configuration_version(workspace)
    related = {"workspace": {"data": {"type": "workspaces", "id": workspace.id}}}
    many = ["a.b"] * (addresses.MOST_ADDRESSES // 2)
    for targets, replaced, blamed, limit in (
        ([LONGEST + "a"], None, "target-addrs", "127 KiB"),
        (None, ["\u00e9" * (addresses.MOST_OF_ADDRESS // 2 + 1)], "replace-addrs", "127 KiB"),
        ([LONGEST, LONGEST, "a" * 2049], None, "target-addrs", "256 KiB"),
        (many, [*many, "a.b"], "replace-addrs", "4000"),
    ):
        sent = {"target-addrs": targets, "replace-addrs": replaced}
        refused = await client.post("/runs", document("runs", sent, related))
        assert (refused.status_code, pointer(refused)) == (422, f"/data/attributes/{blamed}")
        assert limit in error(refused)["detail"]
    for taken in ({"target-addrs": [LONGEST, LONGEST]}, {"target-addrs": many, "replace-addrs": many}):
        assert (await client.post("/runs", document("runs", taken, related))).status_code == 201


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_more_environment_variables_than_a_sandbox_takes_are_refused(
    client: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "MOST_IN_ENVIRONMENT", 2)
    workspace = await factories.make_workspace(organization)
    await factories.make_configuration_version(workspace)
    sent = document("runs", {}, {"workspace": {"data": {"type": "workspaces", "id": workspace.id}}})
    for number in (1, 2):
        await factories.make_variable(workspace, f"VARIABLE{number}", "", category="env")
    assert (await client.post("/runs", sent)).status_code == 201
    await factories.make_variable(workspace, "VARIABLE3", "", category="env")
    refused = await client.post("/runs", sent)
    assert pointer(refused) == "/data/relationships/workspace"
    assert "have 3 environment variables" in error(refused)["detail"]
