"""Histories of a whole Stateroom, one a seed: many actors, faults, virtual time, and the product's own code.

Everything that decides is real: transitions, queue, claims, leases, sweeps, recovery, endings, logs, state versions,
the worker and its slots, over SQLite or PostgreSQL.  Made up are the edges alone: the bell and the words between
processes, the live streams, the object store's bytes, and terraform under its supervisor.

**How it is driven.**  Each actor is a real asyncio task (with whatever tasks it starts).  Before each transaction, each
statement outside one, and each call to an edge it reaches a *border* and parks; the driver lets exactly one go on, to
its next border, and looks at the invariants after every write.  A transaction is one step: what two do at the same
instant inside the database is the separate stress test's business.

**Time** is the loop's own (`loop.VirtualLoop`), so `sleep`, `wait_for` and `timeout` of the product work unchanged.  It
moves only when the driver says, and only in a quiet moment: nothing ready to run *and* no statement on its way.  The
second half is what a loop with a faked clock cannot know by itself.  Here it is exact: SQLite runs inline, without its
thread, and each round trip to PostgreSQL is counted (`database.py`).

**Faults**: an error before any statement, a commit whose answer is lost, a process that dies at any step, inside a
transaction too, or freezes and thaws with stale claims, wall clocks that jump, bells lost, late and doubled, Valkey and
the object store away, supervisors killed.
"""
