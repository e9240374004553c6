"""What GitHub tells of installations, repositories and people: each a reason to look at how it stands now.

Source: `github-app.md` §1.5 of the protocol notes.
"""

from __future__ import annotations

from app.vcs.models import Connection, Installation, Repository
from github_app import api, following, installations, repositories
from github_app.models import GitHubApp, LinkedAccount
from github_app.payloads import Envelope, InstallationEvent, InstallationTargetEvent, RepositoryEvent
from github_app.payloads import Repository as Seen
from github_app.told import NothingToDo, Told


async def on_installation(told: Told[InstallationEvent]) -> str:
    """Also of the repositories it was given or that were taken from it."""
    return await _look(told.app, told.payload.installation.id)


async def on_target_renamed(told: Told[InstallationTargetEvent]) -> str:
    """An account has another name, and its repositories with it."""
    account = told.payload.account
    known = Installation.filter(app_id=told.app.id, account_number=account.id if account else 0, deleted_at=None)
    numbers = {one.number for one in await known}
    if told.payload.installation is not None:
        numbers.add(told.payload.installation.id)
    if not numbers:
        raise NothingToDo("The app is not installed there.")
    return " ".join([await _look(told.app, number) for number in sorted(numbers)])


async def on_repository(told: Told[RepositoryEvent]) -> str:
    event = told.payload
    repository = await following.repository_of(told.app, event.repository)
    if repository is None or event.repository is None:
        if event.installation is None:
            raise NothingToDo("No installation of the app sees the repository.")
        return await _look(told.app, event.installation.id)
    if repository.installation.trouble:
        raise NothingToDo(repository.installation.trouble)
    seen = await api.of(repository.installation).repository(repository)
    if seen is None or repositories.is_of_another(seen, repository.installation) or event.action == "transferred":
        return await _search(told, repository, event.repository)
    is_there = repository.lost in (None, repositories.archived(repository))  # a public one is seen all the same
    await repositories.note(repository, seen)
    if is_there:
        await repositories.lose(repository, repositories.archived(repository) if seen.archived else None)
    return repository.lost or await _fork_policies(repository) or f"{repository.full_name} is noted as it is."


async def on_authorization_revoked(told: Told[Envelope]) -> str:
    """Whoever takes the proof back is linked no more; who has proved it anew since, is."""
    account = told.payload.sender
    proved = LinkedAccount.filter(app_id=told.app.id, number=account.id if account else 0)
    if not await proved.filter(linked_at__lt=told.delivery.received_at).delete():
        raise NothingToDo("The account is linked to nobody.")
    return f"{account.login if account else 'The account'} is linked to nobody any more."


async def _look(app: GitHubApp, number: int) -> str:
    found = await installations.look(app, number)
    if found is None:
        raise NothingToDo("GitHub knows no such installation of the app.")
    seen = await Repository.filter(installation_id=found.id, lost=None).count()
    things = "repository" if seen == 1 else "repositories"
    return found.trouble or f"The installation in {found.account_login} sees {seen} {things}."


async def _search(told: Told[RepositoryEvent], repository: Repository, said: Seen) -> str:
    """Its installation does not see it, or should not: the lists of both installations decide, then the event says
    what GitHub's answers do not."""
    numbers = [repository.installation.number]
    if told.payload.installation is not None and told.payload.installation.id not in numbers:
        numbers.append(told.payload.installation.id)
    for number in numbers:
        await installations.look(told.app, number)
    await repository.refresh_from_db()
    if repository.lost is None:
        return f"{repository.full_name} is seen as before."
    if told.payload.action == "deleted":
        await repositories.lose(repository, repositories.deleted(repository))
    elif repositories.is_of_another(said, await Installation.get(id=repository.installation_id)):
        await repositories.lose(repository, repositories.transferred(repository, repositories.owner_of(said)))
    return repository.lost


async def _fork_policies(repository: Repository) -> str | None:
    """In public, anybody can open a pull request: nobody's is planned unseen then."""
    if repository.private:
        return None
    allowing = Connection.filter(repository_id=repository.id, fork_policy="allow")
    changed = await allowing.update(fork_policy="approve")
    if not changed:
        return None
    return f"{repository.full_name} is public: {changed} of its workspaces plan a fork only after an approval now."
