"""A worker of its own process, to be killed: launches the orders it is given on stdin and stays."""

from __future__ import annotations

import asyncio
import sys

from app.supervisor.client import Spawner
from app.supervisor.spec import Spec


async def main() -> None:
    spec = Spec.decode(sys.stdin.buffer.read())
    spawner = Spawner()
    phase = await spawner.launch(spec, outlives_worker=spec.phase == "apply")
    print(phase.pid, spawner.pid, flush=True)
    await asyncio.sleep(300)


if __name__ == "__main__":
    asyncio.run(main())
