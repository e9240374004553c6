from __future__ import annotations

from app.supervisor.spec import (
    Directories,
    Egress,
    Limits,
    Options,
    Result,
    Spec,
    StateResult,
    Step,
    Tools,
    Workspace,
)

SPEC = Spec(
    phase="apply",
    directories=Directories("/c", "/s", "/o", "/x", "modules/root"),
    tools=Tools("/terraform", "1.11.4", 'credentials "x" { token = "the-token" }', mirror="/m"),
    workspace=Workspace("ws-1", "größe"),
    limits=Limits(seconds=1.5, cpu_seconds=7),
    api_url="https://localhost:8443",
    token="the-token",
    environment={"A": "two\nlines", "EMPTY": ""},
    secrets=("s\u0001ecret", "\udcff not utf-8"),
    options=Options(targets=("a.b", 'c["d"]'), parallelism=3),
    egress=Egress(allow=(), private=("10.0.0.0/8",)),
    uid=210_000,
)


def test_an_order_survives_the_journey() -> None:
    assert Spec.decode(SPEC.encode()) == SPEC


def test_a_result_survives_the_journey() -> None:
    result = Result(
        "finished",
        steps=(Step("init", 0, 0.5, 0.01),),
        has_changes=True,
        hosts=("registry.terraform.io",),
        state=StateResult("sv-1", "sv-2", 3, 17, "lineage"),
    )
    assert Result.decode(result.encode()) == result


def test_a_result_of_a_newer_supervisor_is_understood() -> None:
    assert Result.decode(b'{"outcome": "finished", "mood": "good"}') == Result("finished")


def test_an_order_does_not_print_its_secrets() -> None:
    text = repr(SPEC)
    for secret in ("the-token", "two\\nlines", "ecret", "not utf-8"):
        assert secret not in text
