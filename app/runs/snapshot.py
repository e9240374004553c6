"""What is fixed when a run is created: its variables.

Later edits of the workspace's variables touch only later runs.  The fingerprint tells an apply whether the variables
it is handed are those its plan was made with, without comparing or storing anything readable.
"""

from __future__ import annotations

import orjson

from app.runs.models import Run, RunSnapshot
from app.secret import Secret
from app.storage import crypto
from app.variables.precedence import Value


async def take(run: Run, values: list[Value]) -> RunSnapshot:
    """Keep *values*, the winners of precedence, for *run*; inside the transaction that creates it."""
    plain = _dump(values)
    kept = RunSnapshot(run_id=run.id, fingerprint=crypto.fingerprint(plain, purpose="run-variables"))
    kept.sealed_variables = crypto.seal(plain, context=kept.sealed_context)
    await kept.save(force_create=True)
    return kept


async def read(run: Run) -> list[Value]:
    """The variables *run* was created with."""
    values, _ = await with_fingerprint(run)
    return values


async def with_fingerprint(run: Run) -> tuple[list[Value], str]:
    """The variables *run* was created with, and what tells them from any others."""
    kept = await RunSnapshot.get(run_id=run.id)
    rows = orjson.loads(crypto.open_sealed(kept.sealed_variables, context=kept.sealed_context))
    return [Value(**{**row, "value": Secret(row["value"])}) for row in rows], kept.fingerprint


def _dump(values: list[Value]) -> bytes:
    ordered = sorted(values, key=lambda value: (value.category, value.key))
    return orjson.dumps(
        [
            {
                "key": value.key,
                "value": value.value.reveal(),
                "category": value.category,
                "hcl": value.hcl,
                "sensitive": value.sensitive,
                "source": value.source,
            }
            for value in ordered
        ]
    )
