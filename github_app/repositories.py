"""What we keep of a repository's looks: names and addresses change, its number never does.

`Repository.lost` is one of the sentences made here.  Source: `github-app.md` §1.5 of the protocol notes.
"""

from __future__ import annotations

from collections.abc import Mapping

from app import clock
from app.vcs.models import Installation, Repository
from github_app import payloads


async def note(repository: Repository, seen: payloads.Repository) -> None:
    """Write down what GitHub calls it now.  What an answer leaves out stays as it was."""
    await change(repository, {**_looks(seen), "private": seen.private})


async def found(repository: Repository, seen: payloads.Repository) -> None:
    """Its installation sees it: note its looks, and that it is not lost, unless nothing can come from it."""
    await note(repository, seen)
    await lose(repository, archived(repository) if seen.archived else None)


async def lose(repository: Repository, why: str | None) -> None:
    """Write down why nothing comes from it any more; None: something does, so its heads are looked at soon."""
    if repository.lost and why is None:
        await change(repository, {"lost": None, "reconciled_at": None})
    else:
        await change(repository, {"lost": why})


def made(installation: Installation, repository_id: str, seen: payloads.Repository) -> Repository:
    """A row for one that was not known, not saved yet."""
    row = Repository(id=repository_id, app_id=installation.app_id, number=seen.id, installation_id=installation.id)
    row.update_from_dict({**_looks(seen), "private": seen.private, "created_at": clock.now()})
    row.lost = archived(row) if seen.archived else None
    return row


async def change(repository: Repository, values: Mapping[str, object]) -> None:
    """Write what differs."""
    differing = {name: value for name, value in values.items() if getattr(repository, name) != value}
    if differing:
        await Repository.filter(id=repository.id).update(**differing)
        repository.update_from_dict(differing)


def _looks(seen: payloads.Repository) -> dict[str, object]:
    told = {
        "full_name": seen.full_name,
        "default_branch": seen.default_branch,
        "html_url": seen.html_url,
        "clone_url": seen.clone_url,
    }
    return {name: value for name, value in told.items() if value}


def is_of_another(seen: payloads.Repository, installation: Installation) -> bool:
    """Whether the account of *installation* has it no more; a public one is seen all the same."""
    return seen.owner is not None and seen.owner.id not in (0, installation.account_number)


def owner_of(seen: payloads.Repository) -> str:
    return seen.owner.handle if seen.owner else seen.full_name.partition("/")[0]


# -- why nothing comes from it -----------------------------------------------------------------------------------


def archived(repository: Repository) -> str:
    return f"{repository.full_name} is archived at GitHub, so nothing is pushed to it."


def unseen(repository: Repository, installation: Installation) -> str:
    return (
        f"The GitHub App's installation in {installation.account_login} does not see {repository.full_name} any more."
        " Its owner can give it access at GitHub."
    )


def deleted(repository: Repository) -> str:
    return f"{repository.full_name} was deleted at GitHub."


def transferred(repository: Repository, owner: str) -> str:
    """Whoever follows it decides anew: another owner's code is another's."""
    return (
        f"{repository.full_name} was transferred to {owner} at GitHub. To follow it there, disconnect the workspaces"
        f" that follow it, and connect them through the GitHub App's installation in {owner}."
    )
