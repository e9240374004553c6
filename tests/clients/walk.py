"""One client's whole walk: what it is asked, what it must say, and what of that is written down."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.execution.cli_config import this_platform
from tests.clients.clients import CLIENTS, Client, Limit
from tests.clients.packages import NULL_PROVIDER
from tests.e2e.configuration import Configuration
from tests.providers import installing

#: After `init`: what is asked, and what must be in the answer.
ASKED = {
    "plan": (("plan",), "Plan: 1 to add, 0 to change, 0 to destroy"),
    "apply": (("apply", "-auto-approve"), "Resources: 1 added, 0 changed, 0 destroyed"),
    "plan again": (("plan",), "No changes."),
    "output": (("output", "-json"), '"value": "one"'),
    "state list": (("state", "list"), ".one"),
    "destroy": (("destroy", "-auto-approve"), "1 destroyed"),
}
STEPS = ("init", *ASKED)
WORKS = "works"
_OUTPUTS = 'output "said" { value = "one" }\n'
_NULL = 'resource "null_resource" "one" {}\n' + _OUTPUTS
_BUILT_IN = 'resource "terraform_data" "one" {}\n' + _OUTPUTS


@dataclass(frozen=True, slots=True)
class Route:
    """A walk that can be gone: `make test-clis` goes all there are."""

    client: Client
    backend: str
    mode: str

    def __str__(self) -> str:
        return f"{self.client.version}-{self.backend}-{self.mode}"

    @property
    def limits(self) -> list[Limit]:
        """In the order of the steps that meet them."""
        return [limit for step in STEPS if (limit := self.client.limit(self.mode, step)) is not None]


ROUTES = [Route(client, backend, mode) for client in CLIENTS for backend in client.backends for mode in client.modes]


@dataclass(slots=True)
class Seen:
    """What was seen on a route, and by whom its runs were carried out."""

    route: str
    run_by: str = ""
    steps: dict[str, str] = field(default_factory=dict)


class Walk:
    def __init__(self, route: Route, configuration: Configuration) -> None:
        self._route, self._client, self._configuration = route, route.client, configuration
        self.seen = Seen(str(route))
        configuration.program = str(self._client.program())
        lay(self._client, configuration.directory)
        configuration.backend(route.backend, resources=resources(self._client))

    def go(self) -> Seen:
        self._step("init", ("init", "-input=false"), "successfully initialized")
        self._settle()
        goes_on = all(self._step(name, *ASKED[name]) for name in STEPS[1:])
        if goes_on:
            assert self._left() == []
        self._check_the_server()
        return self.seen

    def _settle(self) -> None:
        """Set the workspace to the mode; a program's `init` has set it to the program's own version."""
        if self._route.mode == "local":
            self._configuration.change(execution_mode="local")
            self.seen.run_by = self._client.version
        elif self._route.mode == "another's":
            self.seen.run_by = newest()
            self._configuration.change(terraform_version=self.seen.run_by)
        else:
            self.seen.run_by = self._client.version
        if self._route.mode != "local":
            assert self._configuration.workspace()["attributes"]["terraform-version"] == self.seen.run_by

    def _step(self, name: str, arguments: tuple[str, ...], expected: str) -> bool:
        """False if the walk ends with it."""
        colourless = () if arguments[0] in ("state", "output") else ("-no-color",)
        limit = self._client.limit(self._route.mode, name)
        if limit is None:
            said = unmarked(self._configuration.must(*arguments, *colourless))
            assert expected in said, (name, said)
        else:
            ended = self._configuration.run(*arguments, *colourless)
            said = unmarked(ended.stdout + ended.stderr)
            assert expected not in said, f"{self._route} can {name} after all"
            assert limit.says in said, (name, said)
        self.seen.steps[name] = limit.reason if limit else WORKS
        return limit is None or not limit.is_last

    def _left(self) -> list[Any]:
        """The resources of the state as the server has it; 0.11 writes them by module."""
        configuration = self._configuration
        current = configuration.call(
            "GET", f"/api/v2/workspaces/{configuration.workspace()['id']}/current-state-version"
        )
        address = current["data"]["attributes"]["hosted-state-download-url"]
        state = configuration.call("GET", address.removeprefix(configuration.server.url))
        modules = state.get("modules") or [state]
        return [resource for module in modules for resource in module["resources"]]

    def _check_the_server(self) -> None:
        """The runs are there if they ran there, with the version that was promised, and no lock is left."""
        configuration = self._configuration
        if self._route.mode == "local":
            assert configuration.runs() == []
        else:
            assert set(configuration.statuses()) == {"applied"}
            versions = {run["attributes"]["terraform-version"] for run in configuration.runs()}
            assert versions == {self.seen.run_by}
        assert configuration.workspace()["attributes"]["locked"] is False


def resources(client: Client) -> str:
    """`terraform_data` came with 1.4; what is older brings the null provider along."""
    return _BUILT_IN if client.numbers >= (1, 4, 0) else _NULL


def lay(client: Client, directory: Path) -> None:
    """Put the null provider where *client* looks for it."""
    if client.numbers >= (1, 4, 0):
        return
    plugins = directory / "terraform.d/plugins"
    if client.numbers >= (0, 13, 0):
        installing.put_null_into(plugins)
        return
    place = plugins / this_platform()
    place.mkdir(parents=True)
    shutil.copy2(NULL_PROVIDER.file(), place)


def unmarked(said: str) -> str:
    """Without what some builds write before each line of theirs."""
    return re.sub(r"(?m)^o:", "", said)


def newest() -> str:
    """The version on PATH, which every server here has."""
    asked = subprocess.run(["terraform", "version", "-json"], capture_output=True, text=True, check=True)
    version: str = json.loads(asked.stdout)["terraform_version"]
    return version
