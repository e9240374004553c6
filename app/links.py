"""Where our pages are: the addresses that the CLI prints and that pages and messages link."""

from __future__ import annotations

from urllib.parse import quote

#: Words that stand where a workspace's name does; a workspace called like one is reached by the longer address.
BESIDE_WORKSPACES = frozenset({"new", "registry", "runs", "settings", "workspaces"})


def github_webhook(app_id: str) -> str:
    """Where GitHub delivers the events of the app with our id *app_id*."""
    return f"/api/webhooks/github/{app_id}"


TOKENS = "/app/settings/tokens"
#: Where site admins see the GitHub Apps.
GITHUB_APPS = "/app/settings/vcs/github"
#: What GitHub told, for site admins too.
GITHUB_DELIVERIES = "/app/settings/vcs/github/deliveries"
#: Where GitHub sends who has installed an app, and who has signed in there.
GITHUB_SETUP = "/app/settings/vcs/github/setup"
GITHUB_CALLBACK = "/auth/github/callback"
#: Where people see their own accounts at GitHub.
GITHUB_ACCOUNTS = "/app/settings/github"


def github_app(app_id: str) -> str:
    """The page of the app with our id *app_id*."""
    return f"{GITHUB_APPS}/{quote(app_id, safe='')}"


def github_delivery(delivery_id: str) -> str:
    return f"{GITHUB_DELIVERIES}/{quote(delivery_id, safe='')}"


def organization(name: str) -> str:
    return f"/app/{quote(name, safe='')}"


def workspace(organization_name: str, name: str) -> str:
    between = "/workspaces" if name in BESIDE_WORKSPACES else ""
    return f"{organization(organization_name)}{between}/{quote(name, safe='')}"


def run(organization_name: str, workspace_name: str, run_id: str) -> str:
    return f"{workspace(organization_name, workspace_name)}/runs/{quote(run_id, safe='')}"


def variables(organization_name: str, workspace_name: str) -> str:
    return f"{workspace(organization_name, workspace_name)}/variables"


def version_control(organization_name: str, workspace_name: str) -> str:
    return f"{workspace(organization_name, workspace_name)}/settings/version-control"


def fork_commits(organization_name: str, workspace_name: str) -> str:
    """Where commits of strangers' forks wait for an approval."""
    return f"{version_control(organization_name, workspace_name)}#waiting"
