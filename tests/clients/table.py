"""What was seen of other Terraforms, as the table of docs/compatibility.md: `make test-clis` writes it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tests.clients.walk import ROUTES, STEPS, WORKS, Route, Seen

PAGE = Path(__file__).parents[2] / "docs/compatibility.md"
BEGIN, END = "<!-- measured: make test-clis writes this -->", "<!-- end -->"
WHERE = "STATEROOM_TEST_SEEN"
HEAD = "| CLI | from PyPI | block | runs are carried out by | |"
_RULE = "|---|---|---|---|---|"


def note(seen: Seen) -> None:
    """Keep what was *seen* for the table, if somebody is going to write it."""
    if directory := os.environ.get(WHERE):
        Path(directory, f"{seen.route}.json").write_text(json.dumps(asdict(seen)))


def row(route: Route, seen: Seen) -> str:
    by = f"the CLI, {seen.run_by}" if route.mode == "local" else f"a worker, {seen.run_by}"
    cells = (route.client.version, str(route.client.package), f"`{route.backend}`", by, verdict(seen.steps))
    return f"| {' | '.join(cells)} |"


def verdict(steps: dict[str, str]) -> str:
    """*works*, or what does not and why."""
    lame: dict[str, list[str]] = {}
    for step, said in steps.items():
        if said != WORKS:
            lame.setdefault(said, []).append(f"`{step}`")
    missing = [f"`{step}`" for step in STEPS if step not in steps]
    reasons = [f"{' and '.join(those)} not: {reason}" for reason, those in lame.items()]
    return "; ".join([*reasons, *([f"{', '.join(missing)} not tried"] if missing else [])]) or WORKS


def written(page: str) -> list[list[str]]:
    """The cells of each row that *page* has."""
    block = page.partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in block.splitlines() if line.startswith("| ") and line != HEAD]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def main(directory: Path) -> None:
    """Write the table.  Every route has to have been gone."""
    found = {path.stem: Seen(**json.loads(path.read_text())) for path in directory.glob("*.json")}
    missing = [str(route) for route in ROUTES if str(route) not in found]
    if missing:
        sys.exit(f"Not written: nobody went {', '.join(missing)}.")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    rows = [row(route, found[str(route)]) for route in ROUTES]
    PAGE.write_text("\n".join([before + BEGIN, HEAD, _RULE, *rows, END]) + rest.partition(END)[2])
    print(f"wrote {PAGE}: {len(rows)} ways to use it")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
