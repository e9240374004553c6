"""Row: how much a server's memory grows while a state of 200 MB is uploaded, taken in and downloaded again.

The memory is the resident sets of all of the server's processes together (web, worker, Valkey), looked at
twenty times a second until the state's resources are counted and the download is over. A small state goes
first, so that what is merely loaded once is not counted. The state is many resources, as big states are, with
contents that do not compress. What comes back must be the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import servers
from bench.api import Api
from bench.figures import Effort, Figure, Goal, show
from bench.memory import MIB, peak

GOAL = Goal(64)
BIG, SMALL = 200_000_000, 1_000_000
PIECE = 1024 * 1024
PROCESSING_LIMIT = 300


class StateChanged(Exception):
    """What was downloaded is not what was uploaded."""


@dataclass(frozen=True)
class State:
    """A state file on disk, and what its upload must say about it."""

    path: Path
    serial: int
    lineage: str
    md5: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def measure(effort: Effort) -> Sequence[Figure]:
    with servers.scratch() as place, servers.stateroom(place / "ours") as server, Api(server) as api:
        workspace = api.workspace("bench-big-state")
        api.act(f"workspaces/{workspace}/actions/lock")
        lineage = str(uuid.uuid4())
        small = write_state(place / "small.tfstate", SMALL, 1, lineage)
        big = write_state(place / "big.tfstate", BIG, 2, lineage)
        for state in (small,) * 3:
            _up(api, workspace, state)
            _down(api, workspace, state)
        with peak(server.process.pid) as memory:
            up = _up(api, workspace, big)
            down = _down(api, workspace, big)
        shares = memory.shares()
    note = f"up {show(up, 's')} until its resources were counted, down {show(down, 's')}"
    what = f"{BIG // 1_000_000} MB state up and down, memory grows"
    return [Figure(what, memory.growth / MIB, "MiB", GOAL, note=f"{note}; {shares}")]


def write_state(path: Path, size: int, serial: int, lineage: str) -> State:
    """Write a state of about *size* bytes, a resource at a time."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("wb") as file:
        for piece in _pieces(size, serial, lineage):
            digest.update(piece)
            file.write(piece)
    return State(path, serial, lineage, digest.hexdigest())


def _pieces(size: int, serial: int, lineage: str) -> Iterator[bytes]:
    contents = random.Random(serial)
    head = {"version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage, "outputs": {}}
    start = json.dumps({**head, "resources": []})[:-2].encode()
    yield start
    written, number = len(start), 0
    while written < size:
        piece = json.dumps(_resource(number, contents.randbytes(1000).hex())).encode()
        yield b",\n" + piece if number else piece
        written, number = written + len(piece) + 2, number + 1
    yield b'],"check_results":null}\n'


def _resource(number: int, content: str) -> dict[str, object]:
    attributes = {
        "id": str(uuid.UUID(int=number)),
        "input": {"value": content, "type": "string"},
        "output": None,
    }
    return {
        "mode": "managed",
        "type": "terraform_data",
        "name": f"item_{number}",
        "provider": 'provider["terraform.io/builtin/terraform"]',
        "instances": [{"schema_version": 0, "attributes": attributes, "sensitive_attributes": []}],
    }


def _up(api: Api, workspace: str, state: State) -> float:
    """Upload *state* as a CLI does, in one stream; seconds until the server has read what is in it."""
    started = time.monotonic()
    attributes = {"serial": state.serial, "lineage": state.lineage, "md5": state.md5, "force": False}
    version = api.post(f"workspaces/{workspace}/state-versions", "state-versions", attributes)
    url = version["attributes"]["hosted-state-upload-url"]
    if url is not None:  # the same bytes again are there already
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(state.size)}
        with state.path.open("rb") as file:
            pieces = iter(lambda: file.read(PIECE), b"")
            api.signed.put(url, content=pieces, headers=headers).raise_for_status()
    until = time.monotonic() + PROCESSING_LIMIT
    while not api.get(f"state-versions/{version['id']}")["attributes"]["resources-processed"]:
        if time.monotonic() > until:
            raise TimeoutError(f"the state's resources were not counted within {PROCESSING_LIMIT} s")
        time.sleep(0.1)
    return time.monotonic() - started


def _down(api: Api, workspace: str, state: State) -> float:
    """Download the current state, piece by piece, and compare it with *state*; the seconds it took."""
    started = time.monotonic()
    digest = hashlib.md5(usedforsecurity=False)
    current = api.get(f"workspaces/{workspace}/current-state-version")
    with api.signed.stream("GET", current["attributes"]["hosted-state-download-url"]) as response:
        response.raise_for_status()
        for piece in response.iter_bytes(PIECE):
            digest.update(piece)
    if digest.hexdigest() != state.md5:
        raise StateChanged(f"uploaded with md5 {state.md5}, downloaded with {digest.hexdigest()}")
    return time.monotonic() - started
