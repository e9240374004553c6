"""One client's whole walk: what it is asked, what it must say, and what of that is written down."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from app.execution.cli_config import this_platform
from tests.clients.clients import Client
from tests.clients.packages import NULL_PROVIDER
from tests.e2e.configuration import Configuration
from tests.providers import installing

STEPS = ("init", "plan", "apply", "plan again", "output", "state list", "destroy")
_SUMMARY = re.compile(r"^.*?((?:Plan: \d|No changes|Apply complete|Destroy complete).*?)$", re.MULTILINE)
_OUTPUTS = 'output "said" { value = "one" }\n'
_NULL = 'resource "null_resource" "one" {}\n' + _OUTPUTS
_BUILT_IN = 'resource "terraform_data" "one" {}\n' + _OUTPUTS


@dataclass(slots=True)
class Seen:
    """What a client did, and by whom its runs were carried out."""

    client: str
    package: str
    backend: str
    execution: str
    run_by: str
    steps: dict[str, str] = field(default_factory=dict)


class Walk:
    def __init__(self, client: Client, backend: str, execution: str, configuration: Configuration) -> None:
        self._client, self._configuration = client, configuration
        self.seen = Seen(client.version, str(client.package), backend, execution, "")
        configuration.program = str(client.program())
        configuration.backend(backend, resources=self._resources())

    def _resources(self) -> str:
        """`terraform_data` came with 1.4; what is older brings the null provider along, where it looks for it."""
        if self._client.numbers >= (1, 4, 0):
            return _BUILT_IN
        plugins = Path("terraform.d/plugins")
        if self._client.numbers >= (0, 13, 0):
            plugins = plugins / installing.NULL / installing.NULL_VERSION
        place = self._configuration.directory / plugins / this_platform()
        place.mkdir(parents=True)
        (place / NULL_PROVIDER.file().name).hardlink_to(NULL_PROVIDER.file())
        return _NULL

    def go(self) -> Seen:
        self._step("init", "init", "-input=false", expected="successfully initialized")
        self._configuration.change(execution_mode=self.seen.execution)
        self.seen.run_by = self._run_by()
        self._step("plan", "plan", expected="Plan: 1 to add, 0 to change, 0 to destroy")
        self._step("apply", "apply", "-auto-approve", expected="Resources: 1 added, 0 changed, 0 destroyed")
        self._step("plan again", "plan", expected="No changes.")
        self._step("output", "output", "-json", expected='"value": "one"')
        self._step("state list", "state", "list", expected="one")
        self._step("destroy", "destroy", "-auto-approve", expected="1 destroyed")
        self._check_the_server()
        return self.seen

    def _run_by(self) -> str:
        """What carries the runs out: the worker by the workspace's version, or the client itself."""
        if self.seen.execution == "local":
            return f"the client, {self._client.version}"
        version = self._configuration.workspace()["attributes"]["terraform-version"]
        assert (version == self._client.version) is not self._client.is_library
        return f"a worker, {version}"

    def _step(self, name: str, *arguments: str, expected: str) -> None:
        colourless = () if arguments[0] in ("state", "output") else ("-no-color",)
        said = self._configuration.must(*arguments, *colourless)
        said = re.sub(r"(?m)^o:", "", said)
        assert expected in said, (name, said)
        summaries = _SUMMARY.findall(said)
        self.seen.steps[name] = summaries[-1].strip() if summaries else "as expected"

    def _check_the_server(self) -> None:
        """The runs are there if they ran there, with the version that was promised, and nothing is left behind."""
        configuration = self._configuration
        if self.seen.execution == "local":
            assert configuration.runs() == []
        else:
            assert sorted(configuration.statuses()) == ["applied", "applied"]
            versions = {run["attributes"]["terraform-version"] for run in configuration.runs()}
            assert versions == {self.seen.run_by.rpartition(" ")[2]}
        assert configuration.workspace()["attributes"]["locked"] is False
        assert configuration.state()["resources"] == []
