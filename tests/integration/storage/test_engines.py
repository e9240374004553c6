"""What Tortoise's own engines get wrong, on both databases."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys

import pytest
from tortoise.exceptions import IntegrityError, OperationalError, TransactionManagementError

from app.errors import Unavailable
from app.settings import Settings
from app.storage import database
from app.storage.database import in_transaction
from app.storage.engines import settling

pytestmark = pytest.mark.usefixtures("opened")


async def run(sql: str) -> list[dict[str, object]]:
    return await database.client().execute_query_dict(sql)


@pytest.fixture
async def counter(opened: Settings) -> None:
    await database.client().execute_script("CREATE TABLE counter (id INT PRIMARY KEY, n INT NOT NULL)")
    await run("INSERT INTO counter VALUES (1, 0)")


async def increment() -> None:
    async with in_transaction():
        n = (await run("SELECT n FROM counter WHERE id = 1"))[0]["n"]
        await asyncio.sleep(0)
        await run(f"UPDATE counter SET n = {int(str(n)) + 1} WHERE id = 1")


async def value() -> object:
    return (await run("SELECT n FROM counter"))[0]["n"]


async def nested() -> None:
    async with in_transaction():
        await run("SELECT 1 AS one")
        async with in_transaction():
            await run("SELECT 1 AS one")


async def many() -> None:
    await database.client().execute_many(_insert(), [[0], [0]])


def _insert() -> str:
    # Never inserts: what is tested is the transaction around it.
    mark = "?" if database.dialect() == "sqlite" else "$1::int"
    return f"INSERT INTO counter SELECT 1, n FROM counter WHERE n < {mark}"


async def break_off_after(script: str) -> None:
    async with in_transaction() as connection:
        await connection.execute_script(script)
        raise ZeroDivisionError


async def stay_after(script: str) -> None:
    async with in_transaction() as connection:
        await connection.execute_script(script)
        await asyncio.sleep(60)


async def test_cancelling_1500_times_neither_hangs_nor_loses_a_connection(counter: None) -> None:
    dice = random.Random(7)
    kinds = (increment, nested, many, lambda: run("SELECT n FROM counter"))
    for _ in range(150):
        tasks = [asyncio.create_task(dice.choice(kinds)()) for _ in range(10)]
        for task in tasks:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(dice.choice((0, 0, 0.0002, 0.001)))
            task.cancel()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        wrong = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
        assert not wrong
    before = await value()
    await asyncio.wait_for(asyncio.gather(*(one_at_a_time(asyncio.Lock()) for _ in range(20))), 30)
    assert before is not None


async def one_at_a_time(lock: asyncio.Lock) -> None:
    async with lock, in_transaction():
        await run("SELECT 1 AS one")


async def test_a_task_cancelled_at_any_point_leaves_the_database_usable_for_the_next(counter: None) -> None:
    for turns in range(40):
        task = asyncio.create_task(increment())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        before = int(str(await value()))
        await asyncio.wait_for(increment(), 10)
        assert await value() == before + 1


async def test_a_cancelled_statement_does_not_count_for_the_next_one(counter: None) -> None:
    for _ in range(100):
        task = asyncio.create_task(run("UPDATE counter SET n = n + 1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        changed, _rows = await database.client().execute_query("UPDATE counter SET n = 0 WHERE id = 99")
        await asyncio.gather(task, return_exceptions=True)
        assert changed == 0


async def test_what_failed_inside_is_rolled_back(counter: None) -> None:
    with pytest.raises(ZeroDivisionError):
        await break_off_after("UPDATE counter SET n = 5")
    assert await value() == 0


async def test_an_inner_transaction_that_fails_takes_only_its_own_changes_back(counter: None) -> None:
    async with in_transaction():
        await run("UPDATE counter SET n = 1")
        with pytest.raises(ZeroDivisionError):
            await break_off_after("UPDATE counter SET n = 2")
        async with in_transaction():
            await run("UPDATE counter SET n = n + 10")
    assert await value() == 11


async def test_an_inner_transaction_that_times_out_takes_only_its_own_changes_back(counter: None) -> None:
    async with in_transaction():
        await run("UPDATE counter SET n = 1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stay_after("UPDATE counter SET n = 2"), 0.05)
    assert await value() == 1


async def test_a_script_inside_a_transaction_does_not_commit_it(counter: None) -> None:
    with pytest.raises(ZeroDivisionError):
        await break_off_after("UPDATE counter SET n = 8; INSERT INTO counter VALUES (2, 3);")
    assert await run("SELECT id, n FROM counter") == [{"id": 1, "n": 0}]


async def test_a_task_that_outlives_its_transaction_is_refused(counter: None) -> None:
    ended = asyncio.Event()

    async def late() -> None:
        await ended.wait()
        await run("UPDATE counter SET n = 99")

    async with in_transaction():
        task = asyncio.create_task(late())
        await run("SELECT 1 AS one")
    ended.set()
    with pytest.raises(TransactionManagementError, match="must not outlive"):
        await task
    assert await value() == 0


async def test_a_broken_rule_is_an_integrity_error_and_a_wrong_statement_an_operational_one(
    counter: None,
) -> None:
    with pytest.raises(IntegrityError):
        await run("INSERT INTO counter VALUES (1, 0)")
    with pytest.raises(OperationalError):
        await run("SELECT nothing FROM nowhere")


async def test_the_hook_can_fail_any_statement_and_lose_the_answer_of_a_commit(
    counter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def record(statement: str) -> None:
        seen.append(statement.split()[0])

    monkeypatch.setattr(settling, "hook", record)
    await increment()
    assert seen == ["BEGIN", "SELECT", "UPDATE", "COMMIT", "COMMITTED"]
    for moment, expected in (("BEGIN", 1), ("SELECT", 1), ("UPDATE", 1), ("COMMIT", 1), ("COMMITTED", 2)):

        async def fail(statement: str, moment: str = moment) -> None:
            if statement.split()[0] == moment:
                raise Unavailable("no answer")

        monkeypatch.setattr(settling, "hook", fail)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(increment(), 10)
        monkeypatch.setattr(settling, "hook", None)
        assert await value() == expected


INCREMENTS = """
import asyncio, sys
from app import settings
from app.storage import database
from app.storage.database import in_transaction, lock

async def main():
    database.model_modules = lambda: ["app.storage.models"]
    async with database.connected(settings.load(data_dir=sys.argv[1], database_url=sys.argv[2])):
        for _ in range(int(sys.argv[3])):
            async with in_transaction() as connection:
                await lock("counter")
                rows = await connection.execute_query_dict("SELECT n FROM counter WHERE id = 1")
                await connection.execute_query(f"UPDATE counter SET n = {rows[0]['n'] + 1} WHERE id = 1")

asyncio.run(main())
"""


async def test_four_processes_lose_none_of_2000_read_modify_writes(opened: Settings, counter: None) -> None:
    arguments = [str(opened.data_dir), opened.database_url.reveal(), "500"]
    workers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", INCREMENTS, *arguments, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = await asyncio.wait_for(asyncio.gather(*(worker.communicate() for worker in workers)), 120)
    assert [worker.returncode for worker in workers] == [0] * 4, b"\n".join(error for _, error in ends).decode()
    assert await value() == 2000


async def test_a_lock_outside_a_transaction_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="until its transaction ends"):
        await database.lock("anything")


async def test_other_tasks_find_the_database_too(counter: None) -> None:
    import contextvars

    task = asyncio.get_running_loop().create_task(value(), context=contextvars.Context())
    assert await task == 0
