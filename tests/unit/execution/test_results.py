"""Counting what a plan would do and what an apply did; masking documents that stay documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.execution.results import Counts, counts_of, counts_of_apply, documents


def changes(*actions: list[str], mode: str = "managed", **more: object) -> dict[str, object]:
    return {"resource_changes": [{"mode": mode, "change": {"actions": some, **more}} for some in actions]}


def test_a_replaced_resource_is_added_and_destroyed() -> None:
    shown = changes(["create"], ["update"], ["delete", "create"], ["create", "delete"], ["delete"], ["no-op"], ["read"])
    assert counts_of(shown) == Counts(additions=3, changes=1, destructions=3)


def test_data_sources_count_nowhere_and_imports_apart() -> None:
    assert counts_of(changes(["read"], mode="data")) == Counts()
    assert counts_of(changes(["no-op"], importing={"id": "x"})) == Counts(imports=1)


@pytest.mark.parametrize(
    ("log", "counts"),
    [
        (b"\x1b[0m\x1b[1m\x1b[32m\nApply complete! Resources: 1 added, 2 changed, 3 destroyed.\n", Counts(1, 2, 3)),
        (b"Apply complete! Resources: 4 imported, 1 added, 0 changed, 0 destroyed.", Counts(1, 0, 0, 4)),
        (b"Destroy complete! Resources: 5 destroyed.", Counts(0, 0, 5)),
        (
            b"a.b: Creating...\n\x1b[0ma.b: Creation complete after 1s [id=x]\nc.d: Destruction complete after 0s\n"
            b"Error: no\n",
            Counts(1, 0, 1),
        ),
        (b"", Counts()),
    ],
)
def test_an_apply_is_counted_by_its_last_line_or_by_what_it_had_done(log: bytes, counts: Counts) -> None:
    assert counts_of_apply(log) == counts


def written(tmp_path: Path, shown: object, schemas: object) -> tuple[Path, Path]:
    plan, schema = tmp_path / "plan.json", tmp_path / "schemas.json"
    plan.write_text(json.dumps(shown))
    schema.write_text(json.dumps(schemas))
    return plan, schema


SHOWN = {
    "resource_changes": [
        {
            "mode": "managed",
            "type": "t",
            "provider_name": "p",
            "change": {"actions": ["create"], "after": {"text": "it is hunter22", "number": 123456, "other": 7}},
        }
    ]
}
SCHEMAS = {
    "format_version": "1.0",
    "provider_schemas": {
        "p": {"resource_schemas": {"t": {"version": 0}, "unused": {"version": 1}}, "provider": {}},
        "q": {"resource_schemas": {"u": {}}},
    },
}


def test_known_secrets_are_masked_although_terraform_marked_nothing(tmp_path: Path) -> None:
    found = documents(*written(tmp_path, SHOWN, SCHEMAS), ["hunter22"])
    assert b"hunter22" in found.plain
    after = json.loads(found.redacted)["resource_changes"][0]["change"]["after"]
    assert after == {"text": "it is (sensitive)", "number": 123456, "other": 7}


def test_a_secret_that_looks_like_a_number_leaves_a_document(tmp_path: Path) -> None:
    found = documents(*written(tmp_path, SHOWN, SCHEMAS), ["123456"])
    after = json.loads(found.redacted)["resource_changes"][0]["change"]["after"]
    assert after == {"text": "it is hunter22", "number": 0, "other": 7}


def test_only_the_schemas_that_occur_are_in_the_redacted_document(tmp_path: Path) -> None:
    found = documents(*written(tmp_path, SHOWN, SCHEMAS), [])
    schemas = json.loads(found.redacted)["provider_schemas"]
    assert schemas == {"p": {"resource_schemas": {"t": {"version": 0}}, "data_source_schemas": {}}}
    assert json.loads(found.schemas) == SCHEMAS
