"""A data directory for one run, below a directory only its owner may enter, and the orders for it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.supervisor import sandbox
from app.supervisor.spec import Directories, Limits, Result, Spec, Tools, Workspace
from tests.integration.supervisor.fake_api import TOKEN, WORKSPACE

SLOT_UID = 210_007
WORKSPACE_NAME = "production"


def terraform() -> str:
    found = shutil.which("terraform")
    assert found, "these tests need terraform on PATH"
    return found


def running(script: str) -> dict[str, str]:
    """A configuration whose apply runs *script*."""
    command = json.dumps(script, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
    return {"main.tf": f'resource "terraform_data" "x" {{\n  provisioner "local-exec" {{ command = {command} }}\n}}'}


class Place:
    def __init__(self, root: Path, api_url: str) -> None:
        self.root = root
        self.api_url = api_url
        self.count = 0
        self.last_control = root
        self.last_result = Result("lost")

    def spec(self, phase: str, configuration: dict[str, str] | None = None, **changes: Any) -> Spec:
        """An order like those the worker makes; *configuration* replaces what lies there."""
        self.count += 1
        run, control = self.root / "run", self.root / f"job-{self.count}"
        control.mkdir(mode=0o700)
        config, state, out = run / "config", run / "state", run / "out"
        shutil.rmtree(state, ignore_errors=True)
        for directory in (config, state, out):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directories = changes.pop("directories", Directories(str(config), str(state), str(out), str(control)))
        kind = changes.get("sandbox", "bwrap")
        inside = sandbox.inside(kind, directories)
        limits = changes.pop("limits", Limits(seconds=120, save_seconds=20, read_seconds=10))
        root = config / directories.working
        for name, text in (configuration or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        (root / "zzz_stateroom_override.tf").unlink(missing_ok=True)
        (root / "zzz_stateroom_override.tf").write_text(_override(inside.state))
        spec = Spec(
            phase=phase,  # type: ignore[arg-type]
            directories=directories,
            tools=Tools(terraform(), "1.11.4", _cli_config(), schemas=str(self.root / "schemas")),
            workspace=Workspace(WORKSPACE, WORKSPACE_NAME),
            limits=limits,
            api_url=self.api_url,
            token=TOKEN,
            uid=SLOT_UID if os.geteuid() == 0 else None,
        )
        return replace(spec, **changes)


def _override(state: str) -> str:
    return (
        'terraform {\n  backend "local" {\n'
        f'    path          = "{state}/default.tfstate"\n    workspace_dir = "{state}"\n  }}\n}}\n'
    )


def _cli_config() -> str:
    host = "stateroom.internal"
    services = ", ".join(
        f'"{name}" = "http://{host}/api/v2/"' for name in ("tfe.v2", "tfe.v2.1", "tfe.v2.2", "state.v2")
    )
    return (
        "disable_checkpoint = true\n"
        f'host "{host}" {{\n  services = {{ {services} }}\n}}\n'
        f'credentials "{host}" {{\n  token = "{TOKEN}"\n}}\n'
    )
