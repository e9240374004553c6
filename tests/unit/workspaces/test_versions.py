from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.errors import Invalid
from app.workspaces import versions
from app.workspaces.versions import Offer

THERE_ARE = ["1.9.8", "1.10.5", "1.11.4", "1.12.0-rc1", "0.11.15"]


@pytest.fixture
def workers() -> Iterator[None]:
    async def say(engine: str) -> Offer:
        here = frozenset(THERE_ARE) if engine == "terraform" else frozenset()
        return Offer(here, releases=frozenset({"1.13.1", "1.8.5"}) if here else here, disabled=frozenset({"1.4.6"}))

    versions.configure(say)
    yield
    versions.configure(None)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("1.9.8", "1.9.8"),
        ("1.9.7", None),
        ("latest", "1.11.4"),
        ("~> 1.9", "1.11.4"),
        ("~> 1.9.0", "1.9.8"),
        ("~>1.10.0", "1.10.5"),
        (">= 1.9, < 1.11", "1.10.5"),
        (">= 1.9.0, != 1.11.4", "1.10.5"),
        ("< 1", "0.11.15"),
        ("1.12.0-rc1", "1.12.0-rc1"),
        (">= 1.12.0", None),
        ("= 1.10.5", "1.10.5"),
    ],
)
def test_a_version_or_constraint_comes_to_the_newest_that_fits(wanted: str, found: str | None) -> None:
    assert versions.newest_match(wanted, THERE_ARE) == found


async def test_what_is_here_goes_before_what_would_be_downloaded(workers: None) -> None:
    assert await versions.resolve("terraform", "latest") == "1.11.4"
    assert await versions.resolve("terraform", "~> 1.8.0") == "1.8.5"
    assert await versions.resolve("terraform", "1.13.1") == "1.13.1"


async def test_a_run_is_refused_a_version_that_nobody_has(workers: None) -> None:
    with pytest.raises(Invalid, match=r"it is no official release. There is 1\.12\.0-rc1.* and 2 official releases"):
        await versions.resolve("terraform", "1.5.7")
    assert await versions.resolve("terraform", "1.5.7", strict=False) == "1.5.7"


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        (
            Offer(frozenset({"1.9.0"}), unread="the index could not be read: no route"),
            "the index could not be read: no",
        ),
        (Offer(frozenset({"1.9.0"})), "none may download it"),
        (
            Offer(is_reported=True),
            "No worker of this server has OpenTofu, and none may.*or set the engine to terraform",
        ),
    ],
)
async def test_a_refusal_says_why_a_worker_cannot_get_it(offer: Offer, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        versions.check("1.8.0", "opentofu", offer)


async def test_a_disabled_version_is_refused_as_such(workers: None) -> None:
    with pytest.raises(Invalid, match=r"1\.4\.6 has been disabled by an administrator.*set the workspace to one"):
        await versions.resolve("terraform", "1.4.6")


async def test_a_terraform_that_no_worker_has_gets_the_newest_for_its_new_workspace(workers: None) -> None:
    assert await versions.for_new_workspace("1.5.7", "terraform", client_version="1.5.7") == "1.11.4"


async def test_anybody_else_is_told_what_there_is(workers: None) -> None:
    with pytest.raises(Invalid, match=r"There is 1\.12\.0-rc1, 1\.11\.4") as refused:
        await versions.for_new_workspace("1.5.7", "terraform", client_version=None)
    assert refused.value.field == "terraform_version"


async def test_without_a_wish_a_workspace_gets_the_newest_release(workers: None) -> None:
    assert await versions.for_new_workspace(None, "terraform", client_version="1.5.7") == "1.11.4"


async def test_before_any_worker_came_every_well_formed_version_is_believed() -> None:
    assert await versions.for_new_workspace("1.5.7", "terraform", client_version=None) == "1.5.7"
    assert await versions.for_new_workspace(None, "terraform", client_version="1.5.7") == "1.5.7"
    assert await versions.for_new_workspace(None, "terraform", client_version=None) == "latest"


@pytest.mark.parametrize("nonsense", ["", "1", "x", "1.2.3.4", "~>", "1.11.4; rm", "1." * 100, "~> x", "1.11.4\n"])
async def test_nonsense_is_no_version(nonsense: str) -> None:
    with pytest.raises(Invalid):
        await versions.for_new_workspace(nonsense, "terraform", client_version=nonsense)


@pytest.mark.parametrize(
    ("engine", "version", "does"),
    [
        ("terraform", "0.11.15", False),
        ("terraform", "0.12.0-beta1", False),
        ("terraform", "0.12.0", True),
        ("terraform", "1.11.4", True),
        ("opentofu", "0.11.0", True),
        ("terraform", "latest", True),
    ],
)
def test_runs_are_carried_out_by_what_has_plans_as_json(engine: str, version: str, does: bool) -> None:
    assert versions.carries_out_runs(engine, version) is does


async def test_a_version_that_is_too_old_for_runs_is_refused_as_such(workers: None) -> None:
    with pytest.raises(Invalid, match=r"0\.11\.14 carries out no runs here: that takes 0\.12\.0 or newer\. There is"):
        await versions.resolve("terraform", "0.11.14")
