"""What the first start makes: keys, database, an admin, an organization, and the admin's token."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import traceback
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from app.cli import private_files
from app.errors import NotFound, StateroomError, Unauthenticated

if TYPE_CHECKING:
    from app.access.models import User
    from app.secret import Secret
    from app.settings import Settings

ADMIN = "admin"
ORGANIZATION = "main"
MIGRATIONS = Path(__file__).parents[2] / "migrations"


def is_done(settings: Settings, organization: str | None) -> bool:
    """Whether nothing is left to make, as far as can be told in a millisecond: no for all but SQLite.

    Whoever hears no goes through `prepare`, which finds out the long way.
    """
    url = urlsplit(settings.database_url.reveal())
    path = Path("/" + url.path.lstrip("/"))
    if url.scheme != "sqlite" or not path.is_file() or not (settings.data_dir / "admin-token").is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            applied = {name for (name,) in connection.execute("SELECT name FROM tortoise_migrations")}
            admins = connection.execute("SELECT count(*) FROM users WHERE username = ?", (ADMIN,))
            if organization is None:
                found = connection.execute("SELECT count(*) FROM organizations")
            else:
                query = "SELECT count(*) FROM organizations WHERE name = ?"
                found = connection.execute(query, (organization,))
            return applied == _migrations() and admins.fetchone()[0] > 0 and found.fetchone()[0] > 0
    except sqlite3.Error:
        return False


async def prepare(settings: Settings, organization: str | None) -> Secret[str] | None:
    """Make what is missing, each only once.  Returns the way to sign in of an admin that is new."""
    from app import access
    from app.access.actors import SYSTEM
    from app.cli import client_files, opening

    async with opening.opened(settings, migrating_first=True):
        admin, is_new = await _admin()
        await _organization(organization, admin)
        if not await _is_token_of(client_files.read_token(settings.data_dir), admin):
            client_files.write(settings.data_dir, settings.external_url, await _token(admin))
        return await access.login_link(SYSTEM, admin) if is_new else None


def prepare_apart(settings: Settings, organization: str | None) -> str | None:
    """`prepare` in a process of its own, whose memory and threads go with it.  Returns the login link's URL.

    Raises what it raised: a sentence is told through the pipe, everything else is a bug and printed there.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _tell(writer, settings, organization)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if not told:
        code = os.waitstatus_to_exitcode(status)
        raise StateroomError(f"The first start did not come to its end (status {code}); see above.")
    found = json.loads(told)
    if "error" in found:
        raise StateroomError(found["error"])
    return found["link"]


def _tell(writer: int, settings: Settings, organization: str | None) -> NoReturn:
    status = 1
    try:
        told: dict[str, str | None]
        try:
            link = asyncio.run(prepare(settings, organization))
            told = {"link": login_url(settings, link) if link else None}
            status = 0
        except StateroomError as error:
            told = {"error": error.sentence}
        except OSError as error:
            told = {"error": private_files.cannot_write(settings.data_dir, error).sentence}
        os.write(writer, json.dumps(told).encode())
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def login_url(settings: Settings, link: Secret[str]) -> str:
    """The page that signs its visitor in, once."""
    from app.cli import client_files

    base = client_files.read_url(settings.data_dir) or settings.external_url
    return f"{base}/login/once/{link.reveal()}"


def _migrations() -> set[str]:
    return {path.stem for path in MIGRATIONS.glob("[0-9]*.py")}


async def _admin() -> tuple[User, bool]:
    from app import access
    from app.access.actors import SYSTEM

    try:
        return await access.find_user(ADMIN), False
    except NotFound:
        return await access.create_user(SYSTEM, ADMIN, is_site_admin=True), True


async def _organization(name: str | None, owner: User) -> None:
    """The one asked for, or `main` where there is none at all."""
    from app import organizations
    from app.access.actors import SYSTEM

    known = organizations.visible(SYSTEM)
    if not await (known.filter(name=name) if name else known).exists():
        await organizations.create(SYSTEM, name or ORGANIZATION, owner=owner)


async def _is_token_of(token: Secret[str] | None, admin: User) -> bool:
    from app.access import tokens

    if token is None:
        return False
    try:
        return (await tokens.authenticate(token.reveal())).id == admin.id
    except Unauthenticated:
        return False


async def _token(admin: User) -> Secret[str]:
    from app.access import tokens
    from app.access.actors import SYSTEM

    _, text = await tokens.create(SYSTEM, admin, f"stateroom up on {os.uname().nodename}")
    return text
