"""`make simulate`: as many histories as one likes, over all cores; or one, told in full; or known bugs, planted.

make simulate HISTORIES=10000 DATABASE=postgresql
make simulate SEED=4711 DATABASE=sqlite
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import SimpleQueue
from multiprocessing.util import Finalize

from tests.services import PostgreSQL
from tests.simulation.history import Ground
from tests.simulation.mutations import MUTATIONS
from tests.simulation.running import Failure, simulate

PIECE = 50
#: This process's own.
_ground: Ground


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="one history alone, told step by step; else the first of many")
    parser.add_argument("--from", dest="first", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, help="as many as there are cores, unless given")
    parser.add_argument("--long", type=int, default=1, help="how many times as long each history is")
    parser.add_argument("--mutations", action="store_true", help="plant known bugs, and say how soon each is noticed")
    given = parser.parse_args()
    with ExitStack() as stack:
        server = PostgreSQL() if given.database == "postgresql" else None
        if server is not None:
            stack.callback(server.stop)
        if given.mutations:
            return _planted(given, server)
        return _one(given, server) if given.seed is not None else _many(given, server)


def _planted(given: argparse.Namespace, server: PostgreSQL | None) -> int:
    ground = Ground(server.create()) if server is not None else Ground()
    unseen = 0
    try:
        for name, mutation in MUTATIONS.items():
            seeds = range(given.first, given.first + given.histories)
            found = simulate(seeds, ground, broken=mutation, first_only=True)
            unseen += not found
            after = f"after {found[0].seed - given.first + 1}: {found[0].sentence}" if found else "never"
            print(f"{name}: noticed {after}", flush=True)
    finally:
        ground.close()
    return bool(unseen)


def _one(given: argparse.Namespace, server: PostgreSQL | None) -> int:
    ground = Ground(server.create()) if server is not None else Ground()
    try:
        found = simulate([given.seed], ground, long=given.long, tell=True)
    finally:
        ground.close()
    print(found[0] if found else f"seed {given.seed}: every invariant holds")
    return bool(found)


def _many(given: argparse.Namespace, server: PostgreSQL | None) -> int:
    began, cores = time.monotonic(), given.processes or len(os.sched_getaffinity(0))
    seeds = range(given.first, given.first + given.histories)
    pieces = [seeds[at : at + PIECE] for at in range(0, len(seeds), PIECE)]
    urls: SimpleQueue[str] = SimpleQueue()
    for _ in range(cores):
        urls.put(server.create() if server is not None else Ground.url)
    failures: list[Failure] = []
    done = 0
    with ProcessPoolExecutor(cores, initializer=_begin, initargs=(urls,)) as pool:
        for found, piece in zip(pool.map(partial(_live, long=given.long), pieces), pieces, strict=True):
            done += len(piece)
            failures += found
            for failure in found:
                print(failure.headline, flush=True)
            print(f"{done} histories, {len(failures)} failed", file=sys.stderr, flush=True)
    for failure in failures[:3]:
        print(failure)
    seconds = time.monotonic() - began
    print(
        f"{done} histories on {given.database}, seeds {seeds[0]} to {seeds[-1]}, in {seconds:.0f} s on {cores}"
        f" processes: {len(failures)} failed"
    )
    return bool(failures)


def _begin(urls: SimpleQueue[str]) -> None:
    global _ground
    _ground = Ground(urls.get())
    Finalize(_ground, _ground.close, exitpriority=0)


def _live(seeds: Sequence[int], *, long: int) -> list[Failure]:
    return simulate(seeds, _ground, long=long)


if __name__ == "__main__":
    sys.exit(main())
