from __future__ import annotations

from typing import Any

import pytest

from app import configurations, states
from app.access.actors import SYSTEM
from app.configurations import Ingress
from app.organizations.models import Organization
from app.vcs import archives, connections
from app.vcs.models import Connection, Installation, Repository
from app.workspaces.models import Workspace
from tests import factories
from tests.api import EXTERNAL_URL, Client, attributes, document, error

PATH = "/organizations/acme/workspaces"
SHA = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
AT = "/data/attributes/vcs-repo"


@pytest.fixture
async def repository(organization: Organization) -> Repository:
    return await factories.make_repository(organization, "acme-hub/net", html_url="https://github.com/acme-hub/net")


def repo(repository: Repository, **more: Any) -> dict[str, Any]:
    return {"identifier": "acme-hub/net", "github-app-installation-id": repository.installation_id, **more}


def workspace(**given: Any) -> Any:
    return document("workspaces", {"name": "net", **given})


def refusal(response: Any) -> tuple[str, str]:
    assert response.status_code == 422, response.text
    shown = error(response)
    return shown["source"]["pointer"], shown["detail"]


async def test_a_workspace_is_made_connected_changed_and_disconnected(client: Client, repository: Repository) -> None:
    made = await client.post(PATH, workspace(**{"vcs-repo": repo(repository, branch="stable")}))
    assert made.status_code == 201
    shown = attributes(made)
    assert shown["vcs-repo-identifier"] == "acme-hub/net"
    assert shown["vcs-repo"] == {
        "identifier": "acme-hub/net",
        "display-identifier": "acme-hub/net",
        "branch": "stable",
        "ingress-submodules": False,
        "tags-regex": None,
        "fork-policy": "approve",
        "oauth-token-id": None,
        "github-app-installation-id": repository.installation_id,
        "repository-http-url": "https://github.com/acme-hub/net",
        "service-provider": "github_app",
        "webhook-url": f"{EXTERNAL_URL}/api/webhooks/github/{repository.app_id}",
    }
    part = {"branch": None, "ingress-submodules": True, "tags-regex": r"^v\d+", "fork-policy": "deny"}
    changed = attributes(await client.patch(f"{PATH}/net", document("workspaces", {"vcs-repo": part})))["vcs-repo"]
    assert (changed["branch"], changed["ingress-submodules"], changed["tags-regex"]) == ("", True, r"^v\d+")
    assert (changed["identifier"], changed["fork-policy"]) == ("acme-hub/net", "deny")
    sent_back = await client.patch(f"{PATH}/net", document("workspaces", {"vcs-repo": changed}))
    assert attributes(sent_back)["vcs-repo"] == changed
    untouched = attributes(await client.patch(f"{PATH}/net", document("workspaces", {"description": "x"})))
    assert untouched["vcs-repo"] == changed
    listed = (await client.get(PATH)).json()["data"][0]["attributes"]
    assert listed["vcs-repo"] == changed
    gone = attributes(await client.patch(f"{PATH}/net", document("workspaces", {"vcs-repo": None})))
    assert (gone["vcs-repo"], gone["vcs-repo-identifier"]) == (None, None)
    assert await Connection.all().count() == 0


async def test_what_cannot_be_connected_is_422_at_the_word_that_is_wrong(
    client: Client, organization: Organization, repository: Repository
) -> None:
    other = await factories.make_repository(await factories.make_organization("other"), "others/net")
    await factories.make_repository(organization, "acme-hub/gone", lost="The repository was deleted at GitHub.")
    installation = {"github-app-installation-id": repository.installation_id}
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({}, "identifier", "owner and name"),
        (installation, "identifier", "owner and name"),
        ({"identifier": "acme-hub/net"}, "github-app-installation-id", "GET /api/v2/github-app/installations"),
        (repo(repository, **{"github-app-installation-id": "ghain-none"}), "github-app-installation-id", "may use no"),
        (repo(other, identifier="others/net"), "github-app-installation-id", "may use no installation"),
        (repo(repository, identifier="others/net"), "identifier", "sees no repository others/net"),
        (repo(repository, identifier="acme-hub/gone"), "identifier", "was deleted at GitHub"),
        ({"identifier": "acme-hub/net", "oauth-token-id": "ot-1"}, "oauth-token-id", "GitHub App only"),
        (repo(repository, **{"oauth-token-id": "ot-1"}), "oauth-token-id", "not both"),
        (repo(repository, branch="a b"), "branch", "no spaces"),
        (repo(repository, branch="../../../../secret/git/ref/heads/main"), "branch", "a name that git takes"),
        (repo(repository, branch="refs/heads/"), "branch", "a name that git takes"),
        (repo(repository, branch=1), "branch", "str"),
        (repo(repository, **{"tags-regex": "(?<!a)b"}), "tags-regex", "RE2"),
        (repo(repository, **{"ingress-submodules": "yes"}), "ingress-submodules", "bool"),
        (repo(repository, **{"fork-policy": "maybe"}), "fork-policy", "deny, approve"),
        (repo(repository, **{"fork-policy": "allow"}), "fork-policy", "STATEROOM_ALLOW_FORKS"),
        (repo(repository, **{"fork-policy": 1}), "fork-policy", "str"),
    ]
    for sent, at, said in wrong:
        pointer, detail = refusal(await client.post(PATH, workspace(**{"vcs-repo": sent})))
        assert pointer == f"{AT}/{at}", sent
        assert said in detail, sent
    assert await Workspace.all().count() == 0
    await Installation.filter(id=repository.installation_id).update(suspended_at=repository.created_at)
    pointer, detail = refusal(await client.post(PATH, workspace(**{"vcs-repo": repo(repository)})))
    assert (pointer, "suspended" in detail) == (f"{AT}/github-app-installation-id", True)


async def test_tags_and_files_exclude_each_other(client: Client, repository: Repository) -> None:
    tags = {"vcs-repo": repo(repository, **{"tags-regex": "^v"})}
    for files in ({"trigger-patterns": ["/a/**"]}, {"trigger-prefixes": ["a"]}):
        assert refusal(await client.post(PATH, workspace(**tags, **files)))[0] == f"{AT}/tags-regex"
    at, _ = refusal(await client.post(PATH, workspace(**tags, **{"file-triggers-enabled": True})))
    assert at == "/data/attributes/file-triggers-enabled"
    assert await Workspace.all().count() == 0

    assert (await client.post(PATH, workspace(**tags))).status_code == 201  # the default left alone is no contradiction
    later = await client.patch(f"{PATH}/net", document("workspaces", {"trigger-patterns": ["/a/**"]}))
    assert refusal(later)[0] == f"{AT}/tags-regex"
    assert (await Workspace.get()).trigger_patterns == []
    both = {"trigger-patterns": ["/a/**"], "vcs-repo": {"tags-regex": ""}}
    assert (await client.patch(f"{PATH}/net", document("workspaces", both))).status_code == 200
    again = await client.patch(f"{PATH}/net", document("workspaces", {"vcs-repo": {"tags-regex": "^v"}}))
    assert refusal(again)[0] == f"{AT}/tags-regex"


async def test_installations_are_listed_for_who_may_use_them(
    client: Client, stranger: Client, organization: Organization, repository: Repository
) -> None:
    await factories.make_repository(organization, "second/x")
    installation = await Installation.get(id=repository.installation_id)
    (shown,) = (await client.get("/github-app/installations?filter[name]=ACME-hub")).json()["data"]
    assert (shown["type"], shown["id"]) == ("github-app-installations", installation.id)
    assert shown["attributes"]["installation-id"] == installation.number
    assert shown["attributes"]["installation-type"] == "Organization"
    found = await client.get(f"/github-app/installations?filter[installation_id]={installation.number}")
    assert [one["id"] for one in found.json()["data"]] == [installation.id]
    assert len((await client.get("/github-app/installations")).json()["data"]) == 2
    assert (await client.get("/github-app/installations?filter[installation_id]=x")).json()["data"] == []
    assert attributes(await client.get(f"/github-app/installation/{installation.id}"))["name"] == "acme-hub"
    assert (await stranger.get("/github-app/installations")).json()["data"] == []
    assert (await stranger.get(f"/github-app/installation/{installation.id}")).status_code == 404


async def test_a_connected_workspace_takes_uploads_to_be_planned_only(
    client: Client, organization: Organization, repository: Repository
) -> None:
    net = await factories.make_workspace(organization, "net")
    await factories.connect(SYSTEM, net, identifier="acme-hub/net", installation_id=repository.installation_id)
    path = f"/workspaces/{net.id}/configuration-versions"
    for given in ({}, {"speculative": False}, {"provisional": True}):
        at, detail = refusal(await client.post(path, document("configuration-versions", given)))
        assert at == "/data/attributes/speculative"
        assert "acme-hub/net" in detail
    assert (await client.post(path, document("configuration-versions", {"speculative": True}))).status_code == 201
    await connections.disconnect(SYSTEM, net)
    assert (await client.post(path, document("configuration-versions", {}))).status_code == 201


async def test_the_commit_of_a_configuration_is_told_wherever_it_is_asked_for(
    client: Client, stranger: Client, organization: Organization, repository: Repository
) -> None:
    net = await factories.make_workspace(organization, "net", auto_apply=True)
    uploaded = await factories.make_configuration_version(net)
    slug = factories.chunks(factories.archive())
    archive = await archives.keep(organization.id, repository, SHA, slug, submodules=False)
    commit_url = f"https://github.com/acme-hub/net/commit/{SHA}"
    ingress = Ingress(identifier="acme-hub/net", commit_sha=SHA, branch="main", commit_url=commit_url, tag="v1")
    version = await configurations.create_from(archive, net, ingress, speculative=False)
    path = f"/configuration-versions/{version.id}"

    shown = await client.get(f"{path}/ingress-attributes")
    assert shown.json()["data"]["type"] == "ingress-attributes"
    assert {key: attributes(shown)[key] for key in ("commit-sha", "branch", "tag", "pull-request-number")} == {
        "commit-sha": SHA,
        "branch": "main",
        "tag": "v1",
        "pull-request-number": None,
    }
    run = await factories.make_run(net, configuration_version=version)
    for asked in (
        f"{path}?include=ingress_attributes",
        f"/runs/{run.id}?include=configuration_version.ingress_attributes",
        f"/workspaces/{net.id}?include=current_run.configuration_version.ingress_attributes",
        f"/workspaces/{net.id}?include=current_configuration_version.ingress_attributes",
    ):
        included = (await client.get(asked)).json()["included"]
        assert [one["attributes"]["commit-sha"] for one in included if one["type"] == "ingress-attributes"] == [SHA]
    assert (await client.get(f"/configuration-versions/{uploaded.id}/ingress-attributes")).status_code == 404
    state = b'{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"a","outputs":{},"resources":[]}'
    await states.recover(net, run.id, factories.chunks(state))
    written = attributes(await client.get(f"/workspaces/{net.id}/current-state-version"))
    assert (written["vcs-commit-sha"], written["vcs-commit-url"]) == (SHA, commit_url)
    assert (await stranger.get(f"{path}/ingress-attributes")).status_code == 404
