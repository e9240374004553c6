from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app import clock, configurations
from app import settings as settings_module
from app.configurations.models import ConfigurationVersion
from app.organizations.models import Organization
from app.settings import Settings
from app.storage import stores
from app.storage.models import StoredObject
from app.workspaces.models import Workspace
from tests import factories
from tests.api import EXTERNAL_URL, Client, attributes, document, error


@pytest.fixture
async def workspace(organization: Organization) -> Workspace:
    return await factories.make_workspace(organization, "net")


async def begin(client: Client, workspace: Workspace, **given: Any) -> tuple[str, str]:
    """A new version: its id, and where its archive goes."""
    sent = document("configuration-versions", {"auto-queue-runs": False, **given})
    response = await client.post(f"/workspaces/{workspace.id}/configuration-versions", sent)
    assert response.status_code == 201
    return response.json()["data"]["id"], attributes(response)["upload-url"]


async def put(client: Client, url: str, content: bytes) -> httpx2.Response:
    """As terraform does: without a token."""
    response = await client.http.put(url, content=content, headers={"content-type": "application/octet-stream"})
    assert response.status_code != 500
    return response


def tar(*entries: tuple[str, bytes | str], mode: Any = "w:gz") -> bytes:
    """An archive of (name, content), or (name, "→ target") for a link."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content.removeprefix("→ ")
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


async def test_terraform_sends_its_files_and_finds_the_version_uploaded_at_once(
    client: Client, workspace: Workspace
) -> None:
    id, url = await begin(client, workspace, speculative=True, provisional=False)
    assert url.startswith(f"{EXTERNAL_URL}/v1/object/")
    assert "?" not in url
    before = attributes(await client.get(f"/configuration-versions/{id}"))
    assert (before["status"], before["speculative"], before["auto-queue-runs"]) == ("pending", True, False)
    assert "upload-url" not in before
    assert (await put(client, url, factories.archive())).status_code == 200
    after = attributes(await client.get(f"/configuration-versions/{id}"))
    assert after["status"] == "uploaded"
    assert after["status-timestamps"]["uploaded-at"].endswith("Z")


async def test_a_version_is_made_by_an_empty_request_too(client: Client, workspace: Workspace) -> None:
    response = await client.post(f"/workspaces/{workspace.id}/configuration-versions")
    assert response.status_code == 201
    assert attributes(response)["auto-queue-runs"] is True


async def test_old_terraform_sends_its_token_along(client: Client, workspace: Workspace) -> None:
    _, url = await begin(client, workspace)
    headers = {"authorization": f"Bearer {client.token}"}
    assert (await client.http.put(url, content=factories.archive(), headers=headers)).status_code == 200


async def test_the_same_bytes_again_are_a_success_and_others_are_not(client: Client, workspace: Workspace) -> None:
    id, url = await begin(client, workspace)
    first, second = factories.archive({"a.tf": "1"}), factories.archive({"a.tf": "2"})
    assert (await put(client, url, first)).status_code == 200
    assert (await put(client, url, first)).status_code == 200
    refused = await put(client, url, second)
    assert refused.status_code == 409
    assert id in error(refused)["detail"]
    assert await StoredObject.all().count() == 1
    archive = await configurations.stored_archive(id)
    assert archive.size == len(first)


async def test_of_several_uploads_at_once_one_counts(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    _, url = await begin(client, workspace)
    archives = [factories.archive({"a.tf": str(number)}) for number in range(6)]
    answers = await asyncio.gather(*(put(client, url, archive) for archive in archives))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
    assert await StoredObject.all().count() == 1


async def test_it_becomes_current_unless_it_is_speculative_or_provisional(client: Client, workspace: Workspace) -> None:
    async def current() -> Any:
        shown = (await client.get(f"/workspaces/{workspace.id}")).json()["data"]
        return shown["relationships"]["current-configuration-version"]["data"]

    for given in ({"speculative": True}, {"provisional": True}):
        _, url = await begin(client, workspace, **given)
        await put(client, url, factories.archive())
        assert await current() is None
    id, url = await begin(client, workspace)
    await put(client, url, factories.archive())
    assert await current() == {"type": "configuration-versions", "id": id}


async def test_a_provisional_one_becomes_current_later_unless_a_newer_one_is(
    client: Client, workspace: Workspace
) -> None:
    provisional, url = await begin(client, workspace, provisional=True)
    await put(client, url, factories.archive())
    await configurations.make_current(await ConfigurationVersion.get(id=provisional))
    await workspace.refresh_from_db()
    assert workspace.current_configuration_version_id == provisional
    newer, url = await begin(client, workspace)
    await put(client, url, factories.archive())
    await configurations.make_current(await ConfigurationVersion.get(id=provisional))
    await workspace.refresh_from_db()
    assert workspace.current_configuration_version_id == newer


BAD_ARCHIVES: list[tuple[str, bytes, str]] = [
    ("not gzip", b"hello, I am no archive", "gzip"),
    ("empty", b"", "gzip"),
    ("plain tar", tar(("main.tf", b"x"), mode="w"), "gzip"),
    ("truncated", tar(("main.tf", bytes(range(256)) * 400))[:-200], ""),
    ("no tar", gzip.compress(b"x" * 5000), ""),
    ("up", tar(("../evil.tf", b"x")), "../evil.tf"),
    ("absolute", tar(("/etc/passwd", b"x")), "/etc/passwd"),
    ("link out", tar(("out", "→ ../../etc")), "out"),
    ("absolute link", tar(("abs", "→ /etc/passwd")), "abs"),
]


async def test_a_bad_archive_is_422_the_version_errored_and_nothing_kept(client: Client, workspace: Workspace) -> None:
    for what, content, named in BAD_ARCHIVES:
        id, url = await begin(client, workspace)
        refused = await put(client, url, content)
        assert refused.status_code == 422, what
        assert named in error(refused)["detail"], what
        shown = attributes(await client.get(f"/configuration-versions/{id}"))
        assert shown["status"] == "errored", what
        assert shown["error-message"] == error(refused)["detail"]
        again = await put(client, url, factories.archive())
        assert again.status_code == 422
        assert "Create another" in error(again)["detail"]
    assert await StoredObject.all().count() == 0


async def test_a_version_whose_archive_never_came_is_errored_when_its_address_has_expired(
    client: Client, workspace: Workspace, opened: Settings
) -> None:
    (old, url), (young, _) = [await begin(client, workspace) for _ in range(2)]
    expired = clock.now() - timedelta(seconds=opened.signed_url_life + 1)
    await ConfigurationVersion.filter(id=old).update(created_at=expired)
    assert await configurations.give_up_overdue() == 1
    shown = attributes(await client.get(f"/configuration-versions/{old}"))
    assert (shown["status"], shown["error"]) == ("errored", "upload-overdue")
    assert "did not come" in shown["error-message"]
    late = await put(client, url, factories.archive())
    assert "Create another configuration version" in error(late)["detail"]
    assert (await client.post("/runs", run_of(workspace, old))).status_code == 422
    assert attributes(await client.get(f"/configuration-versions/{young}"))["status"] == "pending"


async def test_zeros_that_fill_the_disk_are_refused_while_they_come(
    client: Client, workspace: Workspace, opened: Settings
) -> None:
    class Zeros(io.RawIOBase):
        left = opened.max_archive_unpacked + 1

        def read(self, size: int = -1) -> bytes:
            piece = bytes(min(size, self.left))
            self.left -= len(piece)
            return piece

    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as out:
        entry = tarfile.TarInfo("zeros.tf")
        entry.size = Zeros.left
        out.write(entry.tobuf())
        zeros = Zeros()
        while piece := zeros.read(8 * 1024 * 1024):
            out.write(piece)
    _, url = await begin(client, workspace)
    refused = await put(client, url, packed.getvalue())
    assert refused.status_code == 422
    assert "zeros.tf" in error(refused)["detail"]


async def test_an_archive_that_is_too_long_is_413_and_names_the_setting(
    client: Client, workspace: Workspace, opened: Settings
) -> None:
    settings_module.load(**opened.model_dump() | {"max_archive": 1000})
    _, url = await begin(client, workspace)
    refused = await put(client, url, factories.archive({"a.tf": "".join(map(chr, range(32, 5000)))}))
    assert refused.status_code == 413
    assert "STATEROOM_MAX_ARCHIVE" in error(refused)["detail"]
    assert await StoredObject.all().count() == 0


async def test_an_address_that_was_altered_is_404(client: Client, workspace: Workspace) -> None:
    id, url = await begin(client, workspace)
    other, _ = await begin(client, workspace)
    for wrong in (url[:-1] + ("A" if url[-1] != "A" else "B"), url.replace(id, other), url + "x", f"{url}/x"):
        assert (await put(client, wrong, factories.archive())).status_code == 404
    assert (await client.http.get(url)).status_code == 404
    assert attributes(await client.get(f"/configuration-versions/{id}"))["status"] == "pending"


async def test_the_archive_comes_back_as_it_was_sent(client: Client, workspace: Workspace) -> None:
    content = factories.archive({f"f{number}.tf": "x" * number * 1000 for number in range(50)})
    id, url = await begin(client, workspace)
    path = f"/configuration-versions/{id}/download"
    assert (await client.get(path)).status_code == 404
    await put(client, url, content)
    response = await client.get(path)
    assert response.status_code == 302
    downloaded = await client.http.get(response.headers["location"])
    assert downloaded.content == content
    assert downloaded.headers["content-length"] == str(len(content))
    assert (await client.http.put(response.headers["location"], content=content)).status_code == 404


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_what_is_stored_is_not_what_was_sent(client: Client, workspace: Workspace, opened: Settings) -> None:
    _, url = await begin(client, workspace)
    content = tar(("main.tf", b"clear text"))
    await put(client, url, content)
    [stored] = [
        path for path in (opened.data_dir / "objects").rglob("*") if path.is_file() and path.name != stores.MARK
    ]
    assert content[:20] not in stored.read_bytes()


async def test_strangers_see_no_version(client: Client, stranger: Client, workspace: Workspace) -> None:
    id, _ = await begin(client, workspace)
    for path in (f"/configuration-versions/{id}", f"/configuration-versions/{id}/download"):
        assert (await stranger.get(path)).status_code == 404
    assert (await client.get("/configuration-versions/" + "x" * 300)).status_code == 404


async def test_wrong_requests_are_422_by_name(client: Client, workspace: Workspace) -> None:
    path = f"/workspaces/{workspace.id}/configuration-versions"
    for attribute in ("auto-queue-runs", "speculative", "provisional"):
        wrong: list[Any] = ["yes", 1, None, []]
        for value in wrong:
            response = await client.post(path, document("configuration-versions", {attribute: value}))
            assert response.status_code == 422
            assert error(response)["source"]["pointer"] == f"/data/attributes/{attribute}"
    assert (await client.post(path, document("runs", {}))).status_code == 422


async def test_the_newest_version_is_listed_first(client: Client, workspace: Workspace) -> None:
    ids = [(await begin(client, workspace))[0] for _ in range(3)]
    data = (await client.get(f"/workspaces/{workspace.id}/configuration-versions")).json()["data"]
    assert {one["id"] for one in data} == set(ids)
    times = [(await ConfigurationVersion.get(id=one["id"])).created_at for one in data]
    assert times == sorted(times, reverse=True)


async def test_an_archive_is_dropped_when_nobody_needs_it_any_more(
    client: Client, stranger: Client, workspace: Workspace
) -> None:
    old = await factories.make_configuration_version(workspace)
    path = f"/configuration-versions/{old.id}/actions/archive"
    assert (await stranger.post(path)).status_code == 404
    assert "is the current one of net" in error(await client.post(path))["detail"]
    current = await factories.make_configuration_version(workspace)
    await client.post(f"/workspaces/{workspace.id}/actions/lock")
    run = await factories.make_run(workspace, configuration_version=old)
    refused = await client.post(path)
    assert refused.status_code == 409
    assert f"Run {run.id} of this configuration version is pending" in error(refused)["detail"]
    assert (await client.post(f"/runs/{run.id}/actions/discard")).status_code == 202
    stored = await StoredObject.get(id=old.archive_id)
    assert (await client.post(path)).status_code == 202
    assert not await StoredObject.filter(id=stored.id).exists()
    shown = attributes(await client.get(f"/configuration-versions/{old.id}"))
    assert (shown["status"], set(shown["status-timestamps"])) == ("archived", {"uploaded-at", "archived-at"})
    assert (await client.get(f"/configuration-versions/{old.id}/download")).status_code == 404
    assert "archived: only an uploaded one" in error(await client.post(path))["detail"]
    await configurations.make_current(old)
    assert (await Workspace.get(id=workspace.id)).current_configuration_version_id == current.id


async def test_an_archive_dropped_while_a_run_of_it_is_made_leaves_no_run_without_files(
    client: Client, workspace: Workspace
) -> None:
    for _ in range(3):
        old, _current = [await factories.make_configuration_version(workspace) for _ in range(2)]
        sent = run_of(workspace, old.id)
        archived, made = await asyncio.gather(
            client.post(f"/configuration-versions/{old.id}/actions/archive"), client.post("/runs", sent)
        )
        assert (archived.status_code, made.status_code) in [(202, 422), (409, 201)], (archived.text, made.text)


def run_of(workspace: Workspace, version_id: str) -> dict[str, Any]:
    named = {
        "workspace": {"data": {"type": "workspaces", "id": workspace.id}},
        "configuration-version": {"data": {"type": "configuration-versions", "id": version_id}},
    }
    return document("runs", {}, named)


async def test_no_run_is_made_of_a_version_that_cannot_be_run(
    client: Client, stranger: Client, workspace: Workspace, organization: Organization
) -> None:
    pending, _ = await begin(client, workspace)
    errored, url = await begin(client, workspace)
    await put(client, url, b"no archive")
    archived = await factories.make_configuration_version(workspace)
    await factories.make_configuration_version(workspace)
    assert (await client.post(f"/configuration-versions/{archived.id}/actions/archive")).status_code == 202
    foreign = await factories.make_configuration_version(await factories.make_workspace(organization, "other"))
    hidden = await factories.make_configuration_version()
    for version_id, status, words in (
        (pending, 422, "Upload its archive first."),
        (errored, 422, "errored, not uploaded"),
        (archived.id, 422, "archived, not uploaded"),
        (foreign.id, 422, "belongs to another workspace"),
        (hidden.id, 404, "or you may not see it"),
        ("cv-nothing", 404, "or you may not see it"),
    ):
        response = await client.post("/runs", run_of(workspace, version_id))
        assert (response.status_code, words in error(response)["detail"]) == (status, True), response.text
        if status == 422:
            assert error(response)["source"]["pointer"] == "/data/relationships/configuration-version"


async def test_a_deleted_workspace_takes_no_archive(client: Client, workspace: Workspace) -> None:
    id, url = await begin(client, workspace)
    await client.delete(f"/workspaces/{workspace.id}")
    assert (await put(client, url, factories.archive())).status_code == 404
    assert (await client.get(f"/configuration-versions/{id}")).status_code == 404


async def test_whoever_makes_runs_hears_of_each_upload(client: Client, workspace: Workspace) -> None:
    heard: list[str] = []
    configurations.uploaded.when(lambda version: heard.append(version.id))
    try:
        id, url = await begin(client, workspace)
        await put(client, url, factories.archive())
        await put(client, url, factories.archive())
        assert set(heard) == {id}
    finally:
        configurations.uploaded.forget()
