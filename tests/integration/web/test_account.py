from __future__ import annotations

import pytest

from app import access
from app.access import passwords, sessions
from app.access.actors import SYSTEM
from app.access.models import Session, Token, User
from app.organizations.models import Organization
from app.secret import Secret
from tests import factories
from tests.integration.web.conftest import COOKIE, URL, Browser, text

PASSWORD = "correct horse battery"


async def test_who_is_not_signed_in_is_asked_to_and_comes_back(nobody: Browser, owner: User) -> None:
    await passwords.set_password(SYSTEM, owner, Secret(PASSWORD))
    asked = await nobody.get("/app/acme/a%20b?x=1&y=2")
    assert asked.headers["location"] == "/login?next=%2Fapp%2Facme%2Fa%2520b%3Fx%3D1%26y%3D2"
    page = await nobody.get(asked.headers["location"])
    assert 'name="next" value="/app/acme/a%20b?x=1&amp;y=2"' in page.text
    form = {"username": "alice", "password": PASSWORD, "next": "/app/acme/a%20b?x=1&y=2"}
    signed_in = await nobody.post("/login", form)
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/app/acme/a%20b?x=1&y=2")
    cookie = signed_in.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_a_wrong_password_is_refused_without_saying_which_was_wrong(nobody: Browser, owner: User) -> None:
    await passwords.set_password(SYSTEM, owner, Secret(PASSWORD))
    for name in ("alice", "nobody", "<script>"):
        refused = await nobody.post("/login", {"username": name, "password": "wrong password"})
        assert refused.status_code == 401
        assert "User name or password is wrong." in text(refused)
        assert "set-cookie" not in refused.headers
        assert "<script>alert" not in refused.text
        assert 'value="<script>' not in refused.text


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.test",
        "https://evil.test/app",
        "/\\evil.test",
        "/app\\..\\evil",
        "javascript:alert(1)",
        "/app\r\nset-cookie: x=y",
        "/app/\x7f",
        "/apple",
        "/login",
        "",
        "app",
        " /app",
    ],
)
async def test_signing_in_leads_to_our_own_pages_only(nobody: Browser, owner: User, wanted: str) -> None:
    await passwords.set_password(SYSTEM, owner, Secret(PASSWORD))
    signed_in = await nobody.post("/login", {"username": "alice", "password": PASSWORD, "next": wanted})
    assert signed_in.headers["location"] == "/app"


async def test_a_link_is_used_up_by_the_button_and_not_by_looking_at_it(nobody: Browser, owner: User) -> None:
    link = (await access.login_link(SYSTEM, owner)).reveal()
    for _ in range(2):
        page = await nobody.get(f"/login/once/{link}")
        assert (page.status_code, "set-cookie" in page.headers) == (200, False)
    signed_in = await nobody.post(f"/login/once/{link}")
    assert signed_in.headers["location"] == "/app/settings/password"
    assert "Set a password" in text(await nobody.get("/app/settings/password"))
    for again in (await nobody.get(f"/login/once/{link}"), await nobody.post(f"/login/once/{link}")):
        assert again.status_code == 404
        assert "was used already or has expired" in text(again)


async def test_a_password_can_be_set_after_a_link_and_signs_in(alice: Browser, nobody: Browser) -> None:
    short = await alice.post("/app/settings/password", {"password": "short"})
    assert (short.status_code, "at least 10 characters" in text(short)) == (422, True)
    assert (await alice.post("/app/settings/password", {"password": PASSWORD})).headers["location"] == "/app"
    signed_in = await nobody.post("/login", {"username": "alice", "password": PASSWORD})
    assert signed_in.status_code == 303
    assert (await nobody.get("/login")).headers["location"] == "/app"


async def test_signing_out_ends_the_session(alice: Browser) -> None:
    assert "Sign out?" in text(await alice.get("/logout"))
    out = await alice.post("/logout")
    assert out.headers["location"] == "/login"
    assert not await Session.exists()
    assert (await alice.get("/app")).headers["location"].startswith("/login")


async def test_signing_in_again_ends_the_session_before(alice: Browser, owner: User) -> None:
    link = (await access.login_link(SYSTEM, owner)).reveal()
    await alice.post(f"/login/once/{link}")
    assert await Session.all().count() == 1


async def test_a_session_that_was_ended_elsewhere_is_over(alice: Browser, owner: User) -> None:
    [session] = await sessions.of(await factories.actor_of(owner))
    await sessions.end(await factories.actor_of(owner), session.id)
    assert (await alice.get("/app/acme")).status_code == 303


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "http://stateroom.test", "https://stateroom.test:444", ""]
)
async def test_a_form_of_somebody_else_is_refused(alice: Browser, origin: str) -> None:
    refused = await alice.post("/app/settings/tokens", {"description": "x"}, headers={"origin": origin})
    assert (refused.status_code, await Token.exists()) == (403, False)
    login = await alice.post("/login", {"username": "a", "password": "b"}, headers={"origin": origin})
    assert login.status_code == 403


async def test_a_form_without_origin_is_refused(alice: Browser) -> None:
    assert (await alice.post("/app/settings/tokens", {"description": "x"}, headers={})).status_code == 403


@pytest.mark.parametrize("token", ["", "x", "é"])
async def test_a_form_without_the_sessions_token_is_refused(alice: Browser, token: str) -> None:
    refused = await alice.post("/app/settings/tokens", {"description": "x", "form_token": token})
    assert (refused.status_code, await Token.exists()) == (403, False)


async def test_the_form_token_of_another_session_is_refused(alice: Browser, stranger: Browser) -> None:
    refused = await alice.post("/app/settings/tokens", {"description": "x", "form_token": stranger.form_token})
    assert (refused.status_code, await Token.exists()) == (403, False)


async def test_what_is_no_form_is_refused(alice: Browser) -> None:
    for body in (b"\xff\xfe", b"a=%00&form_token=x", b"a=%ff", b"&".join([b"a=1"] * 60)):
        refused = await alice.http.post("/app/settings/tokens", content=body, headers={"origin": URL})
        assert refused.status_code == 422, body
    long = await alice.http.post("/app/settings/tokens", content=b"a=" + b"x" * 200_000, headers={"origin": URL})
    assert long.status_code == 413


async def test_a_token_is_shown_once_and_can_be_revoked(alice: Browser, owner: User) -> None:
    made = await alice.post("/app/settings/tokens", {"description": "<b>laptop</b>", "days": "30"})
    [token] = await Token.filter(user_id=owner.id)
    secret = next(word for word in text(made).split() if word.startswith(token.prefix + ".stateroom."))
    assert "<b>laptop" not in made.text
    assert token.expires_at is not None
    listed = await alice.get("/app/settings/tokens")
    assert secret not in listed.text
    assert "<b>laptop</b>" in text(listed)
    assert "Revoke the token" in text(await alice.get(f"/app/settings/tokens/{token.id}/revoke"))
    assert (await alice.post(f"/app/settings/tokens/{token.id}/revoke")).status_code == 303
    assert not await Token.exists()


async def test_nobody_revokes_the_token_of_another(alice: Browser, stranger: Browser, owner: User) -> None:
    await factories.make_token(owner)
    token = await Token.get(user_id=owner.id)
    assert (await stranger.get(f"/app/settings/tokens/{token.id}/revoke")).status_code == 404
    assert (await stranger.post(f"/app/settings/tokens/{token.id}/revoke")).status_code == 404
    assert await Token.exists()


@pytest.mark.parametrize("days", ["0", "-1", "99999999999999999999", "x", "٣"])
async def test_a_token_expires_when_it_can(alice: Browser, days: str) -> None:
    refused = await alice.post("/app/settings/tokens", {"description": "x", "days": days})
    assert (refused.status_code, await Token.exists()) == (422, False)


async def test_the_first_page_leads_on(alice: Browser, owner: User, organization: Organization) -> None:
    assert (await alice.get("/")).headers["location"] == "/app"
    assert (await alice.get("/app")).headers["location"] == "/app/acme"
    await factories.make_organization("zeta", owner=owner)
    assert {"acme", "zeta"} <= set(text(await alice.get("/app")).split())
