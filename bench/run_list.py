"""Row: how long a list of 20 runs takes with 100,000 stored, beside the same with 1,000.

The product's whole application on SQLite, one web process for each of two installations, asked in turns over a
connection that is kept open. All runs of an installation are applied ones of a single workspace, the list is that
workspace's, with everything a page would include. One run is real; the others are its rows again under ids and numbers
of their own, written while nothing serves.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2

from bench import servers
from bench.api import Api
from bench.figures import Effort, Figure, Goal, median, percentile, show
from bench.get_run import serving
from bench.terraform import SMALL

GOAL = Goal(1.3, on="ratio")
FEW, MANY, MANY_QUICKLY = 1_000, 100_000, 10_000
QUERY = "page%5Bsize%5D=20&include=plan,apply,configuration_version,created_by,workspace"
#: Each table that has rows of a run, and how the ids of its rows begin; those of runs name the run by `id`.
TABLES = {"runs": "run-", "plans": "plan-", "applies": "apply-"}


def measure(effort: Effort) -> Sequence[Figure]:
    stored = effort.of(MANY, MANY_QUICKLY)
    with servers.scratch() as place:
        many, few = (_Installation(place / str(count), count) for count in (stored, FEW))
        with many.served() as large, few.served() as small:
            pairs = [(many.ask(large), few.ask(small)) for _ in range(effort.of(300, 60) + 20)][20:]
    mine, others = [one for one, _ in pairs], [one for _, one in pairs]
    return [
        Figure(
            what=f"list 20 runs with includes, {stored} stored",
            ours=median(mine),
            unit="ms",
            goal=GOAL,
            comparison=median(others),
            compared_with=f"{FEW} stored",
            note=f"p95 {show(percentile(mine, 0.95), 'ms')} and {show(percentile(others, 0.95), 'ms')}"
            f" of {len(pairs)} each",
        )
    ]


class _Installation:
    """A data directory in which *count* runs are stored."""

    def __init__(self, place: Path, count: int) -> None:
        place.mkdir()
        self.data = place / "data"
        with servers.stateroom(self.data, "--no-tls") as server, Api(server) as api:
            self._token = server.token
            self._workspace = api.workspace("bench-run-list")
            api.warm_up(self._workspace, api.configuration(self._workspace, {"main.tf": SMALL}, speculative=True))
            version = api.configuration(self._workspace, {"main.tf": SMALL}, speculative=False)
            run = api.run(self._workspace, version, auto_apply=True)["id"]
            api.finish(run)
        with closing(sqlite3.connect(_database(self.data))) as file, file:
            for table, prefix in TABLES.items():
                _multiply(file, table, prefix, run, count - 1)
            file.execute("UPDATE workspaces SET run_count = ? WHERE id = ?", (count + 1, self._workspace))
            file.execute("ANALYZE")

    @contextmanager
    def served(self) -> Iterator[httpx2.Client]:
        """A client of the application that serves it."""
        headers = {"Authorization": f"Bearer {self._token}"}
        with (
            serving("bench.filled_app", self.data) as url,
            httpx2.Client(base_url=url, headers=headers, timeout=60) as client,
        ):
            yield client

    def ask(self, client: httpx2.Client) -> float:
        """Milliseconds that one list took."""
        started = time.perf_counter()
        answer = client.get(f"/api/v2/workspaces/{self._workspace}/runs?{QUERY}")
        took = (time.perf_counter() - started) * 1000
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) == 20, answer.text[:500]
        return took


def _database(data: Path) -> Path:
    path = data / "stateroom.sqlite3"
    if not path.is_file():
        raise servers.ServerFailed(f"{path} is not there. This row needs SQLite: unset STATEROOM_DATABASE_URL.")
    return path


def _multiply(file: sqlite3.Connection, table: str, prefix: str, run: str, times: int) -> None:
    """Write the row of *table* that is *run*'s so many times again."""
    number = "substr('0000000000000000' || counted.n, -16)"
    own = {"id": f"'{prefix}' || {number}", "run_id": f"'run-' || {number}", "number": "counted.n + 2"}
    columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(own.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    file.execute(
        f"WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?)"
        f" INSERT INTO {table} ({names}) SELECT {values} FROM counted, {table} original"
        f" WHERE original.{'id' if table == 'runs' else 'run_id'} = ?",
        (times, run),
    )
