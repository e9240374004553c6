from __future__ import annotations

from app.access import passwords


def test_checking_a_password_costs_the_same_whether_the_user_exists() -> None:
    assert not passwords._hasher.check_needs_rehash(passwords._NOBODYS)
    assert not passwords._fits(passwords._NOBODYS, "a guess")
