"""Whether somebody may read a repository, as GitHub says: it decides who connects it where an installation is shared.

Otherwise one organization of ours could plan the private code of another.  Source: `github-app.md` §1.4 of the protocol
notes.
"""

from __future__ import annotations

from app.errors import Invalid, Unavailable
from app.vcs.connections import Wish
from github_app import api
from github_app.client import Refused
from github_app.models import LinkedAccount

MAY_READ = ("read", "write", "maintain", "admin")


async def refuse_unreadable(wish: Wish) -> None:
    """Raise Invalid unless the GitHub account that the actor linked may read the repository.  Of one that is not there
    the same is said as of one that it may not read."""
    account = wish.installation.account_login
    linked = await LinkedAccount.filter(app_id=wish.installation.app_id, user_id=wish.actor.id or "").first()
    if linked is None:
        raise Invalid(
            f"The GitHub App's installation in {account} is not for everyone in the organization: link your GitHub"
            " account in your settings, so that it can be seen which of its repositories you may read. Or a site admin"
            " lets everyone use it.",
            field="vcs_repo/identifier",
        )
    if not await _may_read(wish, linked):
        raise Invalid(
            f"The GitHub App's installation in {account} sees no repository {wish.identifier} that {linked.login} may"
            " read at GitHub.",
            field="vcs_repo/identifier",
        )


async def _may_read(wish: Wish, linked: LinkedAccount) -> bool:
    if wish.repository is None or wish.repository.lost:
        return False
    asked = api.of(wish.installation)
    try:
        return await asked.permission_of(wish.repository, linked.login, linked.number) in MAY_READ
    except Unavailable:
        raise
    except Refused:  # it was transferred meanwhile, or the installation suspended: nothing is known of it then
        return False
