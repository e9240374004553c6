"""What we keep of a repository's looks: names and addresses change, its number never does."""

from __future__ import annotations

from app.vcs.models import Repository
from github_app import payloads


async def note(repository: Repository, seen: payloads.Repository) -> None:
    """Write down what GitHub calls it now.  What an answer leaves out stays as it was."""
    told = {
        "full_name": seen.full_name,
        "default_branch": seen.default_branch,
        "html_url": seen.html_url,
        "clone_url": seen.clone_url,
    }
    changes: dict[str, object] = {name: value for name, value in told.items() if value}
    changes["private"] = seen.private
    if any(getattr(repository, name) != value for name, value in changes.items()):
        await Repository.filter(id=repository.id).update(**changes)
        repository.update_from_dict(changes)
