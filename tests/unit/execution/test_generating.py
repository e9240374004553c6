"""Which plans are asked to write configuration."""

from __future__ import annotations

import pytest

from app.execution.orders import cannot_generate
from app.runs.models import Run


@pytest.mark.parametrize(
    ("engine", "version", "reason"),
    [
        ("terraform", "0.12.31", "does not know how"),
        ("terraform", "1.4.7", "does not know how"),
        ("terraform", "1.5.0-rc1", None),
        ("terraform", "1.5.0", None),
        ("terraform", "1.15.0", None),
        ("opentofu", "1.6.0", None),
    ],
)
def test_only_a_terraform_that_knows_the_flag_gets_it(engine: str, version: str, reason: str | None) -> None:
    why = cannot_generate(Run(engine=engine, terraform_version=version))
    assert (why is None) if reason is None else (reason in (why or ""))


@pytest.mark.parametrize("kind", ["is_destroy", "refresh_only"])
def test_a_destroy_or_refresh_only_plan_is_not_asked(kind: str) -> None:
    assert cannot_generate(Run(engine="terraform", terraform_version="1.11.4", **{kind: True})) is not None
