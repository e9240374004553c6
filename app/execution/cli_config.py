"""Terraform's own configuration file for one phase: where Stateroom is, its token, where providers come from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

INTERNAL_NAME = "stateroom.internal"
PLUGINS = "terraform.d/plugins"
_FLAT = re.compile(
    r"terraform-provider-(?P<name>[a-z0-9-]+)_v(?P<version>\d+\.\d+\.\d+[0-9A-Za-z.+-]*?)(?:_x\d+)?(?:\.exe)?\Z"
)
_PLATFORM = re.compile(r"[a-z0-9]+_[a-z0-9]+\Z")
_SERVICES = {
    "tfe.v2": "/api/v2/",
    "tfe.v2.1": "/api/v2/",
    "tfe.v2.2": "/api/v2/",
    "state.v2": "/api/v2/",
    "modules.v1": "/api/registry/v1/modules/",
    "providers.v1": "/api/registry/v1/providers/",
}


@dataclass(frozen=True, slots=True)
class Mirror:
    """A directory of providers: where it lies here, and by which path the run sees it."""

    here: Path
    inside: str


def text(*, token: str, base_url: str, names: Iterable[str], mirrors: Iterable[Mirror], direct: bool) -> str:
    """The file.  *names* are all the names by which configurations may call this server.

    A mirror that does not exist would fail every installation, so only those that do are listed.  What a mirror has
    is never asked of a registry: a host without network would fail at the question.
    """
    lines = ["disable_checkpoint = true"]
    for name in dict.fromkeys([INTERNAL_NAME, *names]):
        services = {service: base_url + path for service, path in _SERVICES.items()}
        lines.append(f"host {json.dumps(name)} {{\n  services = {_object(services)}\n}}")
        lines.append(f"credentials {json.dumps(name)} {{\n  token = {json.dumps(token)}\n}}")
    present = [mirror for mirror in mirrors if mirror.here.is_dir()]
    held = sorted({provider for mirror in present for provider in providers_in(mirror.here)})
    ways = [f"  filesystem_mirror {{\n    path = {json.dumps(mirror.inside)}\n  }}" for mirror in present]
    if direct:
        ways.append(f"  direct {{\n    exclude = {json.dumps(held)}\n  }}" if held else "  direct {}")
    lines.append("provider_installation {\n" + "\n".join(ways) + "\n}")
    return "\n".join(lines) + "\n"


def names_of(*urls: str) -> list[str]:
    """Host names, with the port where it is not the usual one, as a `host` block spells them."""
    found = []
    for url in urls:
        parts = urlsplit(url)
        usual = {"https": 443, "http": 80}.get(parts.scheme)
        port = parts.port if parts.port not in (None, usual) else None
        name = parts.hostname or ""
        found.append(f"{name}:{port}" if port else name)
    return found


def providers_in(mirror: Path) -> Iterable[str]:
    """``registry.terraform.io/hashicorp/null`` for each provider that lies in *mirror*."""
    for kind in mirror.glob("*/*/*"):
        if kind.is_dir() and "." in kind.parts[-3]:
            yield "/".join(kind.parts[-3:])


def lay_old_plugins(root: Path, mirror: Path) -> bool:
    """Make *mirror* of the providers that lie in *root* as Terraform 0.12 wanted them; False if there are none.

    ``terraform.d/plugins/linux_amd64/terraform-provider-null_v2.1.2_x4``, or without the platform's directory: later
    versions do not look there.
    """
    return lay_flat(root / PLUGINS, mirror)


def is_flat_provider(name: str) -> bool:
    """Whether a file is called as Terraform 0.12 wanted a provider to be."""
    return bool(_FLAT.match(name))


def lay_flat(plugins: Path, mirror: Path) -> bool:
    """Make *mirror* of the providers that lie flat in *plugins*; False if there are none."""
    found = False
    for path in (*plugins.glob("terraform-provider-*"), *plugins.glob("*/terraform-provider-*")):
        match = _FLAT.match(path.name)
        platform = path.parent.name if path.parent != plugins else this_platform()
        if match is None or not _PLATFORM.match(platform) or path.is_symlink() or not path.is_file():
            continue
        place = mirror.joinpath("registry.terraform.io", "hashicorp", match["name"], match["version"], platform)
        place.mkdir(parents=True, exist_ok=True)
        target = place / path.name
        if not target.exists():
            target.hardlink_to(path)
        found = True
    return found


def this_platform() -> str:
    import platform

    machine = platform.machine().lower()
    return "linux_" + {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _object(values: dict[str, str]) -> str:
    return "{\n" + "".join(f"    {json.dumps(key)} = {json.dumps(value)}\n" for key, value in values.items()) + "  }"
