"""A pull request at a GitHub that is not ours is planned by a real terraform, and its checks say so."""

from __future__ import annotations

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app import clock, ids
from app.access.actors import SYSTEM
from app.cli import opening
from app.organizations.models import Organization
from app.secret import Secret
from app.vcs.models import Installation, InstallationLink, Repository
from github_app import apps
from tests.e2e.configuration import Configuration
from tests.e2e.up import eventually
from tests.github.emulator.running import Emulated, emulated

WEBHOOK_SECRET = "what only GitHub and we know"
APP, INSTALLATION = 4321, 77
PERMISSIONS = {"checks": "write", "contents": "read", "metadata": "read", "pull_requests": "read"}
MAIN = 'resource "terraform_data" "one" { input = "one" }\n'


def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


async def know(github: Emulated, key: str) -> tuple[str, str]:
    """The app, its installation and acme/infra, known here and linked to the organization; our ids of app and
    installation."""
    secrets = apps.Secrets(Secret(key), Secret(WEBHOOK_SECRET))
    app = await apps.register(SYSTEM, app_id=APP, secrets=secrets, web_url=github.url, slug="stateroom-test")
    organization, now = await Organization.get(name="main"), clock.now()
    installation = await Installation.create(
        id=ids.new("github_app_installation"),
        app_id=app.id,
        number=INSTALLATION,
        account_number=1,
        account_login="acme",
        account_type="Organization",
        permissions=PERMISSIONS,
        created_at=now,
    )
    await InstallationLink.create(installation_id=installation.id, organization_id=organization.id, created_at=now)
    await Repository.create(
        id=ids.new("github_repository"),
        app_id=app.id,
        number=1,
        installation_id=installation.id,
        full_name="acme/infra",
        html_url=f"{github.url}/acme/infra",
        created_at=now,
    )
    return app.id, installation.id


def seed(webhook_url: str, key: str) -> dict[str, Any]:
    installation = {"installation_id": INSTALLATION, "account": "acme", "repositories": ["infra"]}
    app = {
        "app_id": APP,
        "slug": "stateroom-test",
        "name": "Stateroom",
        "private_key": key,
        "permissions": PERMISSIONS,
        "events": ["pull_request", "push"],
        "webhook_url": webhook_url,
        "webhook_secret": WEBHOOK_SECRET,
        "installations": [{**installation, "repository_selection": "selected"}],
    }
    return {
        "users": [{"login": "octocat"}],
        "orgs": [{"login": "acme", "members": [{"login": "octocat", "role": "admin"}]}],
        "repos": [{"owner": "acme", "name": "infra", "private": True}],
        "apps": [app],
    }


def open_pull_request(github: Emulated, files: dict[str, str]) -> str:
    """Its head."""
    main = github.ask("GET", "/repos/acme/infra/git/ref/heads/main")["object"]["sha"]
    github.ask("POST", "/repos/acme/infra/git/refs", {"ref": "refs/heads/feature", "sha": main})
    for name, content in files.items():
        encoded = base64.b64encode(content.encode()).decode()
        change = {"message": "Begin", "branch": "feature", "content": encoded}
        github.ask("PUT", f"/repos/acme/infra/contents/{name}", change)
    pull = github.ask("POST", "/repos/acme/infra/pulls", {"title": "Begin", "head": "feature", "base": "main"})
    return str(pull["head"]["sha"])


def test_a_pull_request_at_a_strangers_github_gets_its_plan_and_checks(configuration: Configuration) -> None:
    server, key = configuration.server, private_key()
    with emulated() as github:
        app, installation = opening.run(server.data, know(github, key))
        trusted = server.data / "ca.pem" if server.url.startswith("https") else None
        github.start(seed(f"{server.url}/api/webhooks/github/{app}", key), trusted=trusted)
        repository = {"identifier": "acme/infra", "github-app-installation-id": installation}
        workspace = {"name": configuration.name, "vcs-repo": repository, "queue-all-runs": True}
        document = {"data": {"type": "workspaces", "attributes": workspace}}
        made = configuration.call("POST", "/api/v2/organizations/main/workspaces", document)["data"]["id"]
        sha = open_pull_request(github, {"main.tf": MAIN})

        def checks() -> dict[str, Any]:
            found = github.ask("GET", f"/repos/acme/infra/commits/{sha}/check-runs")["check_runs"]
            return {check["name"].partition(" / ")[2]: check for check in found}

        def have_ended() -> bool:
            found = checks().values()
            return len(found) == 2 and all(check["status"] == "completed" for check in found)

        assert eventually(have_ended), (checks(), github.front.asked, server.said()[-4000:])
        said = checks()
        mine, all_of_them = said[f"main / {configuration.name}"], said["main"]
        assert (mine["conclusion"], all_of_them["conclusion"]) == ("success", "success"), mine["output"]
        assert mine["output"]["title"] == "+1 ~0 -0"
        assert "terraform_data.one" in mine["output"]["summary"]
        runs = configuration.call("GET", f"/api/v2/workspaces/{made}/runs?filter[operation]=plan_only")["data"]
        [run] = [(one["id"], one["attributes"]["status"], one["attributes"]["message"]) for one in runs]
        assert run[1:] == ("planned_and_finished", "Begin")
        assert mine["details_url"].endswith(run[0])
        assert f"POST /app/installations/{INSTALLATION}/access_tokens 201" in github.front.asked
        # Of what is asked of the app itself, the emulator does not know everything (0009): its deliveries, for one.
        about = [asked for asked in github.front.asked if " /repos/acme/infra/" in asked]
        assert about
        assert all(asked.endswith((" 200", " 201", " 302")) for asked in about), about
