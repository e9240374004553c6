"""As many GETs of one URL as a server answers, over connections that are kept open.

`wrk` where it is installed; else a process of our own, which answers arrive in through httptools on uvloop.
It runs apart from the server and from the bench, so that its work is on the other core; its own ceiling lies
several times above what a route with a query reaches. The token comes on stdin or in a file, never as an
argument, which anybody on the machine could read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench.connections import Connection, connect, target

CONNECTIONS = 32


class LoadFailed(Exception):
    """The server gave another answer than 200, or the generator none at all."""


def requests_per_second(url: str, seconds: int, token: str = "") -> float:
    """What the server of *url* answers in a second, 32 connections asking at once."""
    wrk = shutil.which("wrk")
    return _by_wrk(wrk, url, seconds, token) if wrk else _by_ourselves(url, seconds, token)


def generator() -> str:
    return "wrk" if shutil.which("wrk") else "bench.load"


def _by_wrk(wrk: str, url: str, seconds: int, token: str) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:  # mode 0600
        script.write(f'wrk.headers["Authorization"] = "Bearer {token}"\n' if token else "")
        script.flush()
        command = [wrk, "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "-s", script.name, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout:
        raise LoadFailed(f"wrk on {url}:\n{done.stdout}{done.stderr}")
    return float(found[1])


def _by_ourselves(url: str, seconds: int, token: str) -> float:
    command = [sys.executable, "-m", "bench.load", url, "--seconds", str(seconds)]
    done = subprocess.run(
        command,
        input=token,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    if done.returncode:
        raise LoadFailed(f"the load on {url} ended {done.returncode}:\n{done.stderr[-1000:]}")
    rate: float = json.loads(done.stdout)
    return rate


async def _ask(connection: Connection, path: str, until: float) -> int:
    """Ask over one connection until the time is up; how many answers came."""
    answered = 0
    while time.monotonic() < until:
        response = await connection.get(path)
        if response.status != 200:
            raise LoadFailed(f"{path}: {response.status} {response.body[:300]!r}")
        answered += 1
    return answered


async def _load(url: str, seconds: float, token: str) -> float:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connections = [await connect(url, headers) for _ in range(CONNECTIONS)]
    started = time.monotonic()
    counts = await asyncio.gather(*(_ask(each, target(url), started + seconds) for each in connections))
    return sum(counts) / (time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="Token, if any, on stdin.")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    print(json.dumps(uvloop.run(_load(options.url, options.seconds, sys.stdin.read().strip()))))


if __name__ == "__main__":
    main()
