"""Files go from a plan to its apply without a link leading anybody astray."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from app.errors import TooLarge
from app.execution import carried, workdir

LIMIT = 1024 * 1024


@pytest.fixture
def config(tmp_path: Path) -> Path:
    place = tmp_path / "config"
    (place / "prod").mkdir(parents=True)
    (place / "prod/main.tf").write_text("uploaded")
    (place / "prod/changed.txt").write_text("uploaded")
    return place


def packed(config: Path, before: dict[str, workdir.Print], ours: tuple[str, ...] = ()) -> io.BytesIO:
    target = io.BytesIO()
    carried.pack(config, before, "prod", ours, target, LIMIT)
    target.seek(0)
    return target


def entries(archive: io.BytesIO) -> set[str]:
    with tarfile.open(fileobj=archive, mode="r:") as tar:
        found = set(tar.getnames())
    archive.seek(0)
    return found


def test_only_what_is_new_or_changed_is_carried_and_never_ours(config: Path) -> None:
    before = workdir.prints(config)
    (config / "prod/changed.txt").write_text("by the plan!")
    (config / "made").mkdir()
    (config / "made/archive.zip").write_bytes(b"zip")
    (config / "prod/zzz_stateroom.auto.tfvars.json").write_text("secret")
    (config / "prod/terraform.tfstate").write_text("stray")
    (config / "prod/.terraform/providers/x").mkdir(parents=True)
    (config / "prod/.terraform/providers/x/binary").write_bytes(b"elf")
    (config / "prod/.terraform/modules").mkdir()
    (config / "prod/.terraform/modules/modules.json").write_text("{}")
    found = entries(packed(config, before, ("zzz_stateroom.auto.tfvars.json",)))
    assert found == {"prod/changed.txt", "made/archive.zip", "prod/.terraform/modules/modules.json"}


def test_links_are_carried_as_links_and_pipes_not_at_all(config: Path, tmp_path: Path) -> None:
    before = workdir.prints(config)
    (config / "shadow").symlink_to("/etc/shadow")
    (config / "folder").symlink_to(tmp_path)
    os.mkfifo(config / "pipe")
    archive = packed(config, before)
    assert entries(archive) == {"shadow", "folder"}
    assert b"root:" not in archive.getvalue()


def test_too_much_is_refused_by_a_sentence(config: Path) -> None:
    before = workdir.prints(config)
    with (config / "large").open("wb") as file:
        file.truncate(LIMIT + 1)
    with pytest.raises(TooLarge, match="Write large files to /tmp"):
        packed(config, before)


def laid_over(config: Path, make: dict[str, str | bytes]) -> None:
    """Lay a tar of *make* (a text is a link's target) over *config*."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, what in make.items():
            entry = tarfile.TarInfo(name)
            if isinstance(what, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, what
                tar.addfile(entry)
            else:
                entry.size = len(what)
                tar.addfile(entry, io.BytesIO(what))
    target.seek(0)
    carried.lay(target, config)


def test_carried_files_replace_uploaded_ones(config: Path) -> None:
    laid_over(config, {"prod/changed.txt": b"by the plan", "new/deep/file": b"x"})
    assert (config / "prod/changed.txt").read_text() == "by the plan"
    assert (config / "new/deep/file").read_text() == "x"


def test_nothing_is_written_through_a_link(config: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    (config / "up").symlink_to(outside)
    (config / "file").symlink_to(outside / "file")
    laid_over(config, {"up/file": b"overwritten", "file": b"overwritten"})
    assert (outside / "file").read_text() == "untouched"
    assert (config / "up/file").read_text() == "overwritten"
    assert not (config / "up").is_symlink()


def test_a_directory_is_never_replaced_by_a_link(config: Path, tmp_path: Path) -> None:
    laid_over(config, {"prod": str(tmp_path)})
    assert (config / "prod").is_dir()
    assert not (config / "prod").is_symlink()


def test_names_in_the_root_module_are_told(config: Path) -> None:
    before = workdir.prints(config)
    (config / "prod/zzzz_override.tf").write_text("")
    (config / "elsewhere.tf").write_text("")
    assert carried.names(packed(config, before), "prod") == ["zzzz_override.tf"]
