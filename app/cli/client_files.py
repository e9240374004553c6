"""What a terraform on this machine needs to use the server: a CLI configuration with the admin's token."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from app.cli import private_files
from app.secret import Secret

#: With these in a `host` block terraform asks no discovery document.
SERVICES = {
    "tfe.v2": "/api/v2/",
    "tfe.v2.1": "/api/v2/",
    "tfe.v2.2": "/api/v2/",
    "state.v2": "/api/v2/",
    "modules.v1": "/api/registry/v1/modules/",
    "providers.v1": "/api/registry/v1/providers/",
}


def write(directory: Path, external_url: str, token: Secret[str]) -> None:
    """Write `terraformrc` and `admin-token`, 0600 both."""
    private_files.write(directory / "admin-token", token.reveal() + "\n")
    private_files.write(directory / "terraformrc", _terraformrc(external_url, token))


def write_url(directory: Path, external_url: str) -> None:
    """Remember where the server is reached, for commands that are not given its options."""
    private_files.write(directory / "url", external_url + "\n")


def read_url(directory: Path) -> str | None:
    try:
        return (directory / "url").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def read_token(directory: Path) -> Secret[str] | None:
    try:
        return Secret((directory / "admin-token").read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return None


def host_name(external_url: str) -> str:
    """The name a configuration gives as `hostname`: with the port, where it is not the usual one."""
    return urlsplit(external_url).netloc


def _terraformrc(external_url: str, token: Secret[str]) -> str:
    host = host_name(external_url)
    services = "\n".join(f'    "{name}" = "{external_url}{path}"' for name, path in SERVICES.items())
    return (
        "# Written by `stateroom up` at each start; what you add here is lost.\n"
        f'credentials "{host}" {{\n  token = "{token.reveal()}"\n}}\n\n'
        f'host "{host}" {{\n  services = {{\n{services}\n  }}\n}}\n'
    )
