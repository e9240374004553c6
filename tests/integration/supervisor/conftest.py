"""Each test that takes `place` runs as whoever runs the tests and, where that is root, as an ordinary user too."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.supervisor.client import Spawner
from tests.integration.supervisor.fake_api import FakeApi
from tests.integration.supervisor.place import Place
from tests.integration.supervisor.users import OrdinaryPytest

ORDINARY_PYTEST = pytest.StashKey[OrdinaryPytest]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        users = ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]
        metafunc.parametrize("user", users, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if parameters.get("user") != "ordinary" or os.geteuid() != 0:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _ordinary_pytest(item.config).run(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.session._setupstate.teardown_exact(nextitem)  # as if it had run here
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _ordinary_pytest(config: pytest.Config) -> OrdinaryPytest:
    found = config.stash.get(ORDINARY_PYTEST, None)
    if found is None or not found.is_alive:
        found = config.stash[ORDINARY_PYTEST] = OrdinaryPytest()
    return found


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (found := session.config.stash.get(ORDINARY_PYTEST, None)) is not None:
        found.close()


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    server = api.serve()
    yield api
    api.hold.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def place(user: str, api: FakeApi) -> Iterator[Place]:
    """A data directory below one that only its owner may enter."""
    with tempfile.TemporaryDirectory(prefix="closed-") as closed:
        assert os.stat(closed).st_mode & 0o077 == 0
        data = Path(closed, "data")
        data.mkdir()
        yield Place(data, api.url)


@pytest.fixture
async def spawner() -> AsyncIterator[Spawner]:
    spawner = Spawner()
    yield spawner
    await spawner.close()
