"""Where official releases are and how their files are called: HashiCorp's way, and OpenTofu's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from app.errors import StateroomError
from app.settings import Settings
from app.workspaces import versions


class BadIndex(StateroomError):
    """What should be the index of releases is none."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """*folder* is where a version's files lie; each name may hold ``{version}`` and ``{arch}``."""

    engine: str
    index: Callable[[Settings], str]
    folder: Callable[[Settings], str]
    archive: str
    sums: str
    #: The signature's names, the first that is there is the one that counts.
    signatures: tuple[str, ...]
    parse: Callable[[bytes], Mapping[str, Sequence[str]]]

    def url(self, settings: Settings, version: str, name: str) -> str:
        return f"{self.folder(settings).format(version=version)}/{name}"


class _Build(msgspec.Struct):
    os: str
    arch: str


class _Version(msgspec.Struct):
    builds: list[_Build] = []


class _HashicorpIndex(msgspec.Struct):
    versions: dict[str, _Version]


class _TofuVersion(msgspec.Struct):
    id: str
    files: list[str] = []


class _TofuIndex(msgspec.Struct):
    versions: list[_TofuVersion]


def _of_hashicorp(document: bytes) -> dict[str, list[str]]:
    found = msgspec.json.decode(document, type=_HashicorpIndex).versions
    builds = {version: [b.arch for b in one.builds if b.os == "linux"] for version, one in found.items()}
    return {
        version: archs
        for version, archs in builds.items()
        if archs and versions.is_exact(version) and versions.carries_out_runs("terraform", version)
    }


def _of_opentofu(document: bytes) -> dict[str, list[str]]:
    found = {}
    for one in msgspec.json.decode(document, type=_TofuIndex).versions:
        ends = (f"tofu_{one.id}_linux_", ".zip")
        archs = [name[len(ends[0]) : -4] for name in one.files if name.startswith(ends[0]) and name.endswith(ends[1])]
        if archs and versions.is_exact(one.id):
            found[one.id] = archs
    return found


PUBLISHERS = {
    "terraform": Publisher(
        "terraform",
        index=lambda settings: f"{settings.terraform_releases_url}/terraform/index.json",
        folder=lambda settings: settings.terraform_releases_url + "/terraform/{version}",
        archive="terraform_{version}_linux_{arch}.zip",
        sums="terraform_{version}_SHA256SUMS",
        # Old releases were signed again when the key was renewed in 2021, under the new key's name.
        signatures=("terraform_{version}_SHA256SUMS.72D7468F.sig", "terraform_{version}_SHA256SUMS.sig"),
        parse=_of_hashicorp,
    ),
    "opentofu": Publisher(
        "opentofu",
        index=lambda settings: settings.opentofu_index_url,
        folder=lambda settings: settings.opentofu_releases_url + "/v{version}",
        archive="tofu_{version}_linux_{arch}.zip",
        sums="tofu_{version}_SHA256SUMS",
        signatures=("tofu_{version}_SHA256SUMS.gpgsig",),
        parse=_of_opentofu,
    ),
}


def parse(publisher: Publisher, document: bytes, url: str) -> Mapping[str, Sequence[str]]:
    """Each version of an index, and the architectures of Linux it was built for.  Raises BadIndex."""
    try:
        return publisher.parse(document)
    except msgspec.MsgspecError as error:
        raise BadIndex(f"{url} is not an index of releases: {error}.") from error
