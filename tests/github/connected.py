"""What the fake has, known here: the rows that webhooks and synchronizing would have written."""

from __future__ import annotations

from app import clock, ids
from app.access.actors import SYSTEM
from app.organizations.models import Organization
from app.secret import Secret
from app.vcs import models as vcs
from github_app import apps
from github_app.models import GitHubApp
from tests.github.fake import world


async def register(app: world.App) -> GitHubApp:
    secrets = apps.Secrets(Secret(app.private_key), Secret(app.webhook_secret), Secret(app.client_secret))
    return await apps.register(
        SYSTEM, app_id=app.number, secrets=secrets, web_url=app.github.url, client_id=app.client_id, slug=app.slug
    )


async def know_installation(ours: GitHubApp, installation: world.Installation) -> vcs.Installation:
    return await vcs.Installation.create(
        id=ids.new("github_app_installation"),
        app_id=ours.id,
        number=installation.number,
        account_number=installation.account.number,
        account_login=installation.account.login,
        account_type=installation.account.type,
        permissions=dict(installation.permissions),
        events=list(installation.app.events),
        repository_selection=installation.selection,
        created_at=clock.now(),
    )


async def know_repository(installation: vcs.Installation, repository: world.Repository) -> vcs.Repository:
    return await vcs.Repository.create(
        id=ids.new("github_repository"),
        app_id=installation.app_id,
        number=repository.number,
        installation=installation,
        full_name=repository.full_name,
        default_branch=repository.default_branch,
        private=repository.private,
        html_url=f"{repository.github.url}/{repository.full_name}",
        clone_url=f"{repository.github.url}/{repository.full_name}.git",
        created_at=clock.now(),
    )


async def link(installation: vcs.Installation, organization: Organization) -> vcs.InstallationLink:
    return await vcs.InstallationLink.create(
        installation=installation, organization=organization, created_at=clock.now()
    )
