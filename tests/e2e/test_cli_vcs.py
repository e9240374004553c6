"""What terraform makes of a workspace that follows a repository."""

from __future__ import annotations

import sqlite3

from tests.e2e.configuration import Configuration

NOW = "2026-01-01 00:00:00+00:00"


def see_repository(configuration: Configuration, organization_id: str) -> None:
    """Put a repository into the server's database, as if the GitHub App had heard of it."""
    rows: dict[str, dict[str, str | int]] = {
        "github_installations": {
            "id": "ghain-e2e",
            "app_id": "ghapp-e2e",
            "number": 1,
            "account_number": 1,
            "account_login": "acme",
            "account_type": "Organization",
            "account_url": "",
            "icon_url": "",
            "html_url": "",
            "repository_selection": "all",
            "permissions": "{}",
            "events": "[]",
            "created_at": NOW,
        },
        "github_installation_links": {
            "installation_id": "ghain-e2e",
            "organization_id": organization_id,
            "created_at": NOW,
        },
        "github_repositories": {
            "id": "ghrepo-e2e",
            "app_id": "ghapp-e2e",
            "number": 1,
            "installation_id": "ghain-e2e",
            "full_name": "acme/net",
            "default_branch": "main",
            "private": 1,
            "html_url": "",
            "clone_url": "",
            "created_at": NOW,
        },
    }
    with sqlite3.connect(configuration.server.data / "stateroom.sqlite3", timeout=30) as database:
        for table, row in rows.items():
            names, marks = ", ".join(row), ", ".join("?" for _ in row)
            database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def test_a_workspace_of_a_repository_is_planned_and_not_applied_from_a_terminal(configuration: Configuration) -> None:
    configuration.cloud().init()
    configuration.apply()
    organization = configuration.call("GET", "/api/v2/organizations/main")["data"]
    see_repository(configuration, organization["attributes"]["external-id"])
    configuration.change(vcs_repo={"identifier": "acme/net", "github-app-installation-id": "ghain-e2e"})

    configuration.resources('resource "terraform_data" "two" { input = "two" }\n')
    assert "1 to add, 0 to change, 1 to destroy" in configuration.must("plan", "-no-color")
    said = configuration.refused("apply", "-no-color", "-auto-approve")
    assert "Apply not allowed for workspaces with a VCS connection" in said
    assert configuration.refused("plan", "-no-color", "-out=saved")
    assert configuration.statuses() == ["applied"]  # the list leaves speculative runs out
    assert configuration.addresses() == ["terraform_data.one"]

    configuration.change(vcs_repo=None)
    assert "Resources: 1 added, 0 changed, 1 destroyed." in configuration.apply()
