"""No clear text of a secret lies in anything a server keeps, says, or shows of its processes."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import obstore
import pytest
import redis

from app.cli import processes
from tests.e2e.site import GATE, Site, plain
from tests.e2e.up import Up, eventually, of_parts, processes_on
from tests.migrated import migrated
from tests.services import External, Parts, Services

#: A resource that keeps two secrets in its state, and uses the third while it is made.
FILES = """
variable "word" {
  type      = string
  sensitive = true
}
resource "terraform_data" "kept" {
  input = { given = var.word, made = sensitive("%(made)s") }
}
resource "terraform_data" "used" {
  depends_on = [terraform_data.kept]
  provisioner "local-exec" {
    command = "echo begun; echo uses $CLOUD_KEY; __GATE__; echo over"
  }
}
output "word" {
  value     = var.word
  sensitive = true
}
"""

#: Where a person's own copy of the admin's token is kept, and says so.
FOR_PEOPLE = ("admin-token", "terraformrc")


def invented(name: str) -> str:
    """A secret that JSON, HTML and URLs write differently from what it is."""
    return f'{name}-"{secrets.token_urlsafe(12)}"&<ü>/{secrets.token_urlsafe(12)}'


def spellings(secret: str) -> Iterator[bytes]:
    """*secret* as it may be written: base64 whatever stands before it, JSON and HTML, as a URL, in hexadecimal."""
    raw = secret.encode()
    yield raw
    yield json.dumps(secret)[1:-1].encode()
    as_json = json.dumps(secret, ensure_ascii=False)[1:-1]
    yield as_json.encode()
    for character in "&<>":  # as Go's encoder writes them
        as_json = as_json.replace(character, f"\\u{ord(character):04x}")
    yield as_json.encode()
    yield html.escape(secret).encode()
    yield quote(secret, safe="").encode()
    yield raw.hex().encode()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(before) + raw)
            yield whole[4 if before else 0 : len(whole) - 4]  # what the neighbours do not change


def found_in(content: bytes, sought: Mapping[str, str]) -> list[str]:
    return [name for name, secret in sought.items() if any(one in content for one in spellings(secret))]


def leaks(places: Iterator[tuple[str, bytes]], sought: Mapping[str, str]) -> list[str]:
    """The places that hold a secret, and how many were looked at: none would be no proof."""
    looked, found = 0, []
    for where, content in places:
        looked += 1
        found += [f"{name} in {where}" for name in found_in(content, sought)]
    assert looked, "nothing was looked at"
    return found


def kept_files(up: Up) -> Iterator[tuple[str, bytes]]:
    """Every file of the data directory, except those of runs that go on."""
    for path in sorted(up.data.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name not in FOR_PEOPLE:
            yield str(path.relative_to(up.data)), path.read_bytes()
    yield "what the processes say", up.log.read_bytes()


def shown_processes() -> Iterator[tuple[str, bytes]]:
    """How each process was started; its environment too, unless it is within a run."""
    ours = os.readlink("/proc/self/ns/pid")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            yield f"the command line of {entry.name}", (entry / "cmdline").read_bytes()
            if os.readlink(entry / "ns/pid") == ours:
                yield f"the environment of {entry.name}", (entry / "environ").read_bytes()
        except OSError:  # it has ended
            continue


def rows_of(url: str) -> Iterator[tuple[str, bytes]]:
    """Every value of every table, as it is stored."""

    async def read() -> list[tuple[str, bytes]]:
        connection = await asyncpg.connect(url)
        try:
            found = []
            for table in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                for number, row in enumerate(await connection.fetch(f'SELECT * FROM "{table[0]}"')):
                    values = b"\n".join(one if isinstance(one, bytes) else str(one).encode() for one in row.values())
                    found.append((f"{table[0]} row {number}", values))
            return found
        finally:
            await connection.close()

    yield from asyncio.run(read())


def keys_of(url: str) -> Iterator[tuple[str, bytes]]:
    with redis.Redis.from_url(url) as client:
        reads: dict[bytes, Callable[[bytes], object]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            b"stream": client.xrange,
        }
        for key in client.scan_iter():
            value = reads[client.type(key)](key)
            yield f"key {key!r}", key + b"\n" + b"\n".join(_bytes_in(value))


def _bytes_in(value: object) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _bytes_in([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from _bytes_in(one)


def objects_of(services: Services, url: str) -> Iterator[tuple[str, bytes]]:
    store = services.s3.store(urlsplit(url).path.strip("/"))
    for page in obstore.list(store):
        for one in page:
            yield f"object {one['path']}", bytes(obstore.get(store, one["path"]).bytes())


@pytest.fixture
def site(parts: Parts, tmp_path: Path) -> Iterator[Site]:
    parts.prepared(migrated, "migrated")
    up = Up(tmp_path / "data", **of_parts(parts))
    try:
        yield Site(up.wait_until_ready())
    finally:
        up.end()
        for pid in processes_on(up.data):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: processes_on(up.data) == []), processes_on(up.data)


def signs_in(site: Site, settings: Mapping[str, str]) -> dict[str, str]:
    """Use a login link, as a browser does: what it said, and the session it gave."""
    ended = subprocess.run(
        [*processes.COMMAND, "user", "login-link", "--json", "--data", str(site.up.data)],
        env={**os.environ, **processes.python_path(), "STATEROOM_EXTERNAL_URL": site.up.url, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    link = urlsplit(next(value for value in json.loads(ended.stdout).values() if "/login/once/" in value)).path
    answer = site.http.post(link, headers={"origin": site.up.url})
    assert answer.status_code == 303, answer.text
    [session] = site.http.cookies.jar
    assert session.value
    return {"the login link": link.rpartition("/")[2], "the session": session.value}


def test_no_clear_text_is_kept_said_or_shown(site: Site, parts: Parts, services: Services) -> None:
    made = secrets.token_urlsafe(24)
    sought = {"the variable": invented("word"), "the environment variable": invented("key"), "the state": made}
    user = site.call("GET", "/account/details")["id"]
    token = site.call("POST", f"/users/{user}/authentication-tokens", {"type": "authentication-tokens"})
    sought |= {"a token": token["attributes"]["token"], "the admin's token": site.token} | signs_in(
        site, of_parts(parts)
    )

    workspace = site.make_workspace("secrets")
    site.set_variable(workspace, "word", sought["the variable"], "terraform")
    site.set_variable(workspace, "CLOUD_KEY", sought["the environment variable"], "env")
    text = FILES % {"made": made}
    run = site.start(workspace, {"main.tf": text.replace("__GATE__", GATE)}, auto_apply=True)
    apply = run.follow("apply").until("(local-exec): begun")
    assert leaks(shown_processes(), sought) == []
    spools = ((str(path), path.read_bytes()) for path in (site.up.data / "runs").glob("*/log*"))
    assert leaks(spools, sought) == []

    site.open_gate()
    assert found_in(apply.whole(), sought) == []
    assert b"(local-exec): over" in plain(apply.whole())
    assert run.ends() == "applied"
    assert eventually(lambda: os.listdir(site.up.data / "runs") == []), "a phase leaves its directory"
    state = site.call("GET", f"/workspaces/{workspace}/current-state-version")["attributes"]
    whole = site.http.get(state["hosted-state-download-url"]).content
    assert found_in(whole, sought) == ["the variable", "the state"], "else there was nothing to find"

    assert leaks(kept_files(site.up), sought) == []
    if isinstance(parts, External):
        assert leaks(rows_of(parts.database_url), {"the workspace": workspace}), "the rows were not read"
        assert leaks(keys_of(parts.redis_url), {"the log": "begun"}), "the live log was not read"
        assert leaks(rows_of(parts.database_url), sought) == []
        assert leaks(keys_of(parts.redis_url), sought) == []
        assert leaks(objects_of(services, parts.objects_url), sought) == []
    assert site.up.stop() == 0
    assert leaks(kept_files(site.up), sought) == []


@pytest.mark.parametrize("name", ["plain", "of many kinds"])
def test_a_secret_is_found_however_it_is_written(name: str) -> None:
    secret = "abcdefghijklmno" if name == "plain" else invented("x")
    written = [secret, json.dumps({"a": secret}), json.dumps(secret, ensure_ascii=False), quote(secret, safe="")]
    written += [base64.b64encode(b"x" * before + secret.encode() + b"yz").decode() for before in range(5)]
    for one in written:
        assert found_in(f"before {one} after".encode(), {"it": secret}) == ["it"], one
    assert found_in(b"nothing of it", {"it": secret}) == []
