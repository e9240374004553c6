"""A stock terraform, pointed at a server, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Server

LIMIT = 300.0

#: The smallest plan there is: a resource of a provider that terraform itself contains.
SMALL = 'resource "terraform_data" "hello" {\n  input = "world"\n}\n'


class TerraformFailed(Exception):
    """The CLI ended with an error, whose output this carries."""


@dataclass(frozen=True)
class Cli:
    """terraform as a user of one server runs it, with that server's files; without a server, on its own."""

    home: Path
    server: Server | None = None
    cli_config: Path | None = None

    def environment(self) -> dict[str, str]:
        """Nothing is inherited but PATH, so that no setting of whoever runs the bench reaches a figure."""
        own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "CHECKPOINT_DISABLE": "1"}
        if self.server is None:
            return {**own, "TF_CLI_CONFIG_FILE": os.devnull}
        config = self.cli_config or self.server.cli_config
        return {**own, "TF_CLI_CONFIG_FILE": str(config), "SSL_CERT_FILE": str(self.server.ca_bundle)}

    def run(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run terraform in *directory*; raise with its output if it fails."""
        done = subprocess.run(
            [binary(), *arguments],
            check=False,
            cwd=directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            raise TerraformFailed(f"`terraform {' '.join(arguments)}` ended {done.returncode}:\n{done.stdout[-3000:]}")
        return done

    def seconds(self, directory: Path, *arguments: str) -> float:
        """The wall time of one command."""
        started = time.monotonic()
        self.run(directory, *arguments)
        return time.monotonic() - started


def binary() -> str:
    """The terraform on PATH."""
    found = shutil.which("terraform")
    if found is None:
        raise TerraformFailed("There is no terraform on PATH; the bench measures a stock one: install it there.")
    return found


def cloud_block(server: Server, workspace: str, organization: str = "main") -> str:
    return (
        f'terraform {{\n  cloud {{\n    hostname     = "{server.host}"\n    organization = "{organization}"\n'
        f'    workspaces {{\n      name = "{workspace}"\n    }}\n  }}\n}}\n'
    )


def remote_backend(server: Server, workspace: str, organization: str = "main") -> str:
    return (
        f'terraform {{\n  backend "remote" {{\n    hostname     = "{server.host}"\n'
        f'    organization = "{organization}"\n'
        f'    workspaces {{\n      name = "{workspace}"\n    }}\n  }}\n}}\n'
    )


#: Both ways in which a configuration names a server.
BACKENDS = {"cloud": cloud_block, "remote": remote_backend}


def write_configuration(directory: Path, texts: Sequence[str]) -> Path:
    """A new root module of *texts* in *directory*."""
    directory.mkdir(parents=True)
    (directory / "main.tf").write_text("\n".join(texts))
    return directory
