"""What a run's variables are inside the run, byte for byte, and that what is secret shows nowhere."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from app import runs
from app.access.actors import SYSTEM
from app.runs.models import Plan
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.conftest import Crew, outputs, read, rested, start, whole_log

NASTY = {
    "newlines": "one\ntwo\r\n\n",
    "quotes": 'a "b" \'c\' \\ \\n \\"',
    "templates": "${var.x} $${y} %{ if true } %%{z}",
    "markup": "<&> \u2028 [red]",
    "control": "\u0001\t\u007f",
    "wide": "größe 𝄞 日本",
    "blanks": "  spaces at both ends  ",
    "number_like": "007",
    "heredoc": "<<EOT\nx\nEOT\n",
    "empty": "",
}
DECLARED = "".join(
    f'variable "{name}" {{\n  type = string\n}}\noutput "{name}" {{\n  value = var.{name}\n}}\n' for name in NASTY
)


async def workspace() -> Workspace:
    return await factories.make_workspace(terraform_version="1.11.4")


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_strings_reach_terraform_byte_for_byte(crew: Crew) -> None:
    home = await workspace()
    for name, text in NASTY.items():
        await factories.make_variable(home, name, text)
    run = await rested(await start({"main.tf": DECLARED}, home, auto_apply=True), "apply")
    assert run.status == "applied", await whole_log(run)
    assert await outputs(home) == NASTY


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_values_reach_the_environment_of_a_child_byte_for_byte_and_long_ones_by_file(crew: Crew) -> None:
    home = await workspace()
    for name, value in NASTY.items():
        await factories.make_variable(home, f"E_{name}", value, category="env")
    most = "ü" * ((128 * 1024 - len("E_most=") - 1) // 2)
    await factories.make_variable(home, "E_most", most, category="env")
    long = "0123456789" * 20_000
    await factories.make_variable(home, "long", long)
    prints = "\n".join(
        f'    echo "<{name}:$(printf \'%sz\' "$E_{name}" | sha256sum | head -c 64)>"' for name in (*NASTY, "most")
    )
    files = {
        "main.tf": 'resource "terraform_data" "echo" {\n  provisioner "local-exec" {\n    command = <<-EOT\n'
        f"{prints}\n    EOT\n  }}\n}}\n"
        'variable "long" {}\noutput "long" { value = sha256(var.long) }\n'
    }
    run = await rested(await start(files, home, auto_apply=True), "apply")
    log = await whole_log(run, "apply")
    assert run.status == "applied", log
    for name, value in (NASTY | {"most": most}).items():
        assert f"<{name}:{sha256(value.encode() + b'z').hexdigest()}>" in log, name
    assert await outputs(home) == {"long": sha256(long.encode()).hexdigest()}


TYPED = """
variable "number" { type = number }
variable "flag" { type = bool }
variable "object" { type = object({ name = string, ports = list(number) }) }
variable "text" { type = string }
output "all" { value = { number = var.number, flag = var.flag, object = var.object, text = var.text } }
"""


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_expressions_and_plain_values_fit_their_types(crew: Crew) -> None:
    home = await workspace()
    await factories.make_variable(home, "number", "5")
    await factories.make_variable(home, "flag", "true", hcl=True)
    await factories.make_variable(home, "object", '{\n  name = "a"\n  ports = [1, 2]\n}', hcl=True)
    await factories.make_variable(home, "text", "<<EOT\nline\nEOT", hcl=True)
    run = await rested(await start({"main.tf": TYPED}, home, auto_apply=True), "apply")
    assert run.status == "applied", await whole_log(run)
    expected = {"number": 5, "flag": True, "object": {"name": "a", "ports": [1, 2]}, "text": "line\n"}
    assert await outputs(home) == {"all": expected}


async def test_an_error_in_an_expression_names_its_variable(crew: Crew) -> None:
    home = await workspace()
    await factories.make_variable(home, "object", "{ name = 1 + true }", hcl=True)
    run = await rested(await start({"main.tf": 'variable "object" {}\n'}, home))
    assert run.status == "errored"
    assert "object.auto.tfvars line 1" in await whole_log(run)


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_run_variables_go_before_the_workspaces_and_those_before_uploaded_files(crew: Crew) -> None:
    home = await workspace()
    await factories.make_variable(home, "a", "workspace")
    await factories.make_variable(home, "b", "workspace")
    files = {
        "main.tf": "".join(
            f'variable "{name}" {{}}\noutput "{name}" {{\n  value = var.{name}\n}}\n' for name in ("a", "b", "c", "d")
        ),
        "terraform.tfvars": 'd = "tfvars"\nc = "tfvars"\n',
        "zzzzz.auto.tfvars": 'a = "file"\nb = "file"\nc = "file"\n',
        "é.auto.tfvars.json": '{"b": "file", "c": "last file"}',
    }
    chosen = [runs.run_variable("a", '"run"')]
    run = await rested(await start(files, home, auto_apply=True, variables=chosen), "apply")
    assert run.status == "applied", await whole_log(run)
    assert await outputs(home) == {"a": "run", "b": "workspace", "c": "last file", "d": "tfvars"}


async def test_undeclared_variables_make_no_noise(crew: Crew) -> None:
    home = await workspace()
    await factories.make_variable(home, "nobody_knows", "x")
    run = await rested(await start({"main.tf": 'output "a" {\n  value = 1\n}\n'}, home))
    assert "undeclared" not in await whole_log(run)


ECHO = """
resource "terraform_data" "echo" {
  input = { greeting = var.greeting, token = nonsensitive(var.token) }
  provisioner "local-exec" {
    command = <<-EOT
      echo "$GREETING and $CLOUD_KEY from $TFC_WORKSPACE_NAME"
      printf '%s' "$CLOUD_KEY" | base64
    EOT
  }
}
variable "greeting" {}
variable "token" {
  sensitive = true
}
"""


async def test_environment_variables_arrive_and_secrets_are_masked_in_logs_and_documents(crew: Crew) -> None:
    home = await workspace()
    await factories.make_variable(home, "greeting", "hi")
    await factories.make_variable(home, "token", "swordfish-0123", sensitive=True)
    await factories.make_variable(home, "GREETING", "hello there", category="env")
    await factories.make_variable(home, "CLOUD_KEY", "k3y-that-is-secret", category="env", sensitive=True)
    await factories.make_variable(home, "STATEROOM_X", "no", category="env")
    await factories.make_variable(home, "TFE_PARALLELISM", "999", category="env")
    run = await rested(await start({"main.tf": ECHO}, home))
    log = await whole_log(run)
    assert "The environment variable 'STATEROOM_X' was not passed on" in log
    assert log.count("TFE_PARALLELISM is ignored: it is not a whole number from 1 to 256.") == 1
    assert "swordfish" not in log
    plan = await Plan.get(run_id=run.id).select_related("json_output", "json_output_redacted")
    assert plan.masked_count > 0
    assert b"swordfish-0123" in await read(plan.json_output)
    redacted = await read(plan.json_output_redacted)
    assert b"swordfish" not in redacted
    json.loads(redacted)

    await runs.confirm(SYSTEM, run)
    await rested(run, "apply")
    log = await whole_log(run, "apply")
    assert f"hello there and (sensitive) from {home.name}" in log
    assert "k3y-that" not in log
    assert "azN5LXRoYXQ" not in log
