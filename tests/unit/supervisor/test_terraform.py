from __future__ import annotations

from dataclasses import replace

import pytest

from app.supervisor import terraform
from app.supervisor.sandbox import BWRAP_INSIDE
from app.supervisor.spec import Options
from tests.unit.supervisor.test_spec import SPEC


def test_a_plan_is_asked_for_what_the_run_wants() -> None:
    options = Options(destroy=True, refresh=False, targets=("a.b",), replace=("c.d",), generates=True, parallelism=3)
    assert terraform.plan(options, BWRAP_INSIDE) == [
        "plan", "-input=false", "-detailed-exitcode", "-out=/stateroom/out/plan.tfplan", "-destroy", "-refresh=false",
        "-target=a.b", "-replace=c.d", "-generate-config-out=/stateroom/out/generated.tf", "-parallelism=3",
    ]  # fmt: skip


def test_an_apply_applies_the_saved_plan_and_nothing_else() -> None:
    arguments = terraform.apply(Options(destroy=True, targets=("a.b",), parallelism=3), BWRAP_INSIDE)
    assert arguments == ["apply", "-input=false", "-parallelism=3", "/stateroom/out/plan.tfplan"]


def test_the_log_begins_with_three_lines() -> None:
    assert terraform.header(SPEC).splitlines()[::2] == ["Terraform v1.11.4", "Initializing plugins and modules..."]


@pytest.mark.parametrize("name", ["TF_WORKSPACE", "HTTPS_PROXY", "no_proxy", "HOME", "STATEROOM_KEY", "TF_DATA_DIR"])
def test_a_run_cannot_change_what_holds_it(name: str) -> None:
    spec = replace(SPEC, environment={name: "mine", "AWS_REGION": "eu-north-1"})
    environment = terraform.environment(spec, BWRAP_INSIDE)
    assert environment.get(name) != "mine"
    assert environment["AWS_REGION"] == "eu-north-1"
    assert [name in sentence for sentence in terraform.refused(spec.environment)] == [True]


@pytest.mark.parametrize(
    ("name", "value"), [("A B", "x"), ("A=B", "x"), ("", "x"), ("1A", "x"), ("A", "x\0y"), ("A\n", "x")]
)
def test_what_no_environment_can_hold_is_left_out_and_said(name: str, value: str) -> None:
    spec = replace(SPEC, environment={name: value})
    assert name not in terraform.environment(spec, BWRAP_INSIDE)
    assert len(list(terraform.refused(spec.environment))) == 1


def test_debugging_is_terraforms_trace() -> None:
    spec = replace(SPEC, options=Options(debugging=True))
    assert terraform.environment(spec, BWRAP_INSIDE)["TF_LOG"] == "TRACE"
    assert "TF_LOG" not in terraform.environment(SPEC, BWRAP_INSIDE)
