"""Passwords: argon2id, computed beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.access.actors import Actor, Kind
from app.access.models import User
from app.errors import Forbidden, Invalid, Unauthenticated
from app.secret import Secret

T = TypeVar("T")

LEAST_LENGTH = 10
MOST_LENGTH = 1024

_hasher = PasswordHasher()
#: Each hash takes 64 MiB while it is computed; who knocks often must not fill the memory.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
#: What an unknown user's password is checked against, so that the time tells nothing.  Written down, because every
#: process of ours would else compute it when it starts: a third of a second and 64 MiB.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$ukapgBKCM8eY51o7ek6gxQ$rRvjmG8nIuetNEHrPR2VtyryPzcTWO6zP22XU5gBido"


async def set_password(actor: Actor, user: User, password: Secret[str]) -> None:
    """Give *user* a password.  Whoever signed in by a link may do it for themselves."""
    if actor.kind is not Kind.SYSTEM and actor.id != user.id:
        raise Forbidden("A password is set by the user it belongs to.", permission="user:update")
    if len(password.reveal()) < LEAST_LENGTH:
        raise Invalid(f"A password has at least {LEAST_LENGTH} characters.", field="password")
    if len(password.reveal()) > MOST_LENGTH:
        raise Invalid(f"A password has at most {MOST_LENGTH} characters.", field="password")
    user.password_hash = await _beside_the_loop(_hasher.hash, password.reveal())
    await user.save(update_fields=["password_hash"])


async def sign_in(username: str, password: Secret[str]) -> User:
    """The user who has that name and that password.  A refusal does not tell which of the two was wrong."""
    user = await User.get_or_none(username=username)
    known = user.password_hash if user is not None else None
    right = len(password.reveal()) <= MOST_LENGTH and await _beside_the_loop(
        _fits, known or _NOBODYS, password.reveal()
    )
    if user is None or known is None or not right:
        raise Unauthenticated(
            "User name or password is wrong. If you have no password yet, ask for a login link (stateroom user"
            " login-link)."
        )
    if _hasher.check_needs_rehash(known):
        user.password_hash = await _beside_the_loop(_hasher.hash, password.reveal())
        await user.save(update_fields=["password_hash"])
    return user


def _fits(known: str, password: str) -> bool:
    try:
        return _hasher.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


async def _beside_the_loop(function: Callable[..., T], *arguments: str) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, function, *arguments)
