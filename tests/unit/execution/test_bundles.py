"""A hostile or broken zip is refused by its entry's name, and nothing of it lies anywhere else."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from app.execution import bundles
from app.execution.bundles import BadBundle
from app.execution.cli_config import this_platform
from app.execution.releases import ELF

PROGRAM = ("terraform", ELF + b"program")
MIRRORED = f"plugins/registry.example.com/acme/fake/1.0.0/{this_platform()}/terraform-provider-fake_v1.0.0"
LIMIT = 1 << 20


def packed(tmp_path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def unpack(archive: Path, tmp_path: Path, limit: int = LIMIT) -> Path:
    directory = tmp_path / "unpacked"
    directory.mkdir()
    bundles.unpack(archive, directory, "terraform", limit=limit)
    return directory


def of_kind(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (kind | 0o777) << 16
    return entry


def test_the_program_and_its_providers_are_taken_and_nothing_else(tmp_path: Path) -> None:
    archive = packed(tmp_path, PROGRAM, ("./", b""), (MIRRORED, b"provider"), ("README.md", b"hello"))
    directory = unpack(archive, tmp_path)
    assert (directory / "bin" / "terraform").read_bytes() == PROGRAM[1]
    assert (directory / "providers" / MIRRORED.removeprefix("plugins/")).read_bytes() == b"provider"
    assert not list(directory.rglob("README*"))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("../terraform", "outside"),
        ("plugins/../../terraform", "outside"),
        ("/etc/terraform", "outside"),
        ("C:/terraform", "outside"),
        (".", "outside"),
        (of_kind("terraform-link", stat.S_IFLNK), "a link or a device"),
        (of_kind("terraform-device", stat.S_IFCHR), "a link or a device"),
        ("a" * 300, "too long a name"),
        (MIRRORED + "/below", None),
    ],
)
def test_an_entry_that_would_lie_elsewhere_is_refused_by_name(
    tmp_path: Path, entry: str | zipfile.ZipInfo, why: str | None
) -> None:
    archive = packed(tmp_path, PROGRAM, (MIRRORED, b"provider"), (entry, b"/etc/passwd"))
    if why is None:  # deeper than any layout: it is left where it is
        unpack(archive, tmp_path)
        return
    with pytest.raises(BadBundle, match=why):
        unpack(archive, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.zip", "unpacked"}


def test_an_entry_below_another_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = MIRRORED.rsplit("/", 2)[0]
    archive = packed(tmp_path, PROGRAM, (file, b"a file"), (MIRRORED, b"provider"))
    with pytest.raises(BadBundle, match="below what another entry says is a file"):
        unpack(archive, tmp_path)


def test_what_a_bomb_would_become_is_measured_and_not_believed(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="larger than 1048576 bytes"):
        unpack(packed(tmp_path, ("terraform", ELF + bytes(4 * LIMIT))), tmp_path)


def test_the_same_place_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = packed(tmp_path, PROGRAM, PROGRAM)
    with pytest.raises(BadBundle, match="there twice"):
        unpack(archive, tmp_path)


@pytest.mark.parametrize("damaged", [b"", b"no zip at all", None])
def test_what_cannot_be_read_is_refused(tmp_path: Path, damaged: bytes | None) -> None:
    archive = packed(tmp_path, ("terraform", ELF + bytes(range(256)) * 64))
    content = bytearray(archive.read_bytes() if damaged is None else damaged)
    if damaged is None:
        content[40:80] = b"\xff" * 40
    archive.write_bytes(content)
    with pytest.raises(BadBundle, match="not a zip that can be read"):
        unpack(archive, tmp_path)


def test_a_zip_without_the_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="no terraform at its top"):
        unpack(packed(tmp_path, (MIRRORED, b"provider")), tmp_path)
