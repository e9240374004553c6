"""Our files in a root module: their names sort last, their content is what terraform reads back."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid
from app.execution import overrides
from app.secret import Secret
from app.variables.precedence import Value

STATE = "/stateroom/state"
names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12)


def value(key: str, text: str = "x", *, hcl: bool = False, category: str = "terraform") -> Value:
    return Value(key, Secret(text), category, hcl=hcl, sensitive=False, source="workspace")


def root(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text)
    return tmp_path


@given(st.lists(names.map(lambda name: name + "_override.tf") | names.map(lambda name: name + "_override.tf.json")))
def test_the_backend_override_sorts_after_every_other(others: list[str]) -> None:
    name, _ = overrides.backend(others, STATE)
    assert name.endswith("_override.tf")
    assert all(os.fsencode(other) < os.fsencode(name) for other in others)


def test_the_backend_override_has_its_plain_name_where_nothing_sorts_after_it() -> None:
    name, text = overrides.backend(["main.tf", "override.tf", "a_override.tf.json"], STATE)
    assert name == "zzz_stateroom_override.tf"
    assert b'path          = "/stateroom/state/default.tfstate"' in text


def test_a_name_too_long_to_be_followed_is_refused_by_a_sentence() -> None:
    with pytest.raises(Invalid, match="too long"):
        overrides.backend(["z" * 240 + "_override.tf"], STATE)


@given(st.lists(names.map(lambda name: name + ".auto.tfvars") | names.map(lambda name: name + ".auto.tfvars.json")))
def test_values_sort_after_every_uploaded_file(others: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place, "main.tf").write_text('variable "a" {}\nvariable "b" {}\n')
        laid = overrides.variables([value("a"), value("b", hcl=True)], Path(place), others)
    assert len(laid.files) == 2
    assert all(os.fsencode(other) < os.fsencode(ours) for other in others for ours in laid.files)


def test_plain_values_share_a_file_and_expressions_have_their_own(tmp_path: Path) -> None:
    place = root(tmp_path, main__tf='variable "a" {}\nvariable "b" {}\nvariable "größe" {}\n')
    values = [value("a", "${x}\n"), value("b", "[1]", hcl=True), value("größe", "2", hcl=True)]
    laid = overrides.variables(values, place, ["main.tf"])
    assert json.loads(laid.files["zzz_stateroom.auto.tfvars.json"]) == {"a": "${x}\n"}
    assert laid.files["zzz_stateroom_b.auto.tfvars"] == b"b = [1]\n"
    assert laid.files["zzz_stateroom_1.auto.tfvars"] == "größe = 2\n".encode()


def test_an_expression_whose_name_is_none_is_left_out_and_said(tmp_path: Path) -> None:
    place = root(tmp_path, main__tf='variable /* doubt: everything is written */ "a" {}')
    laid = overrides.variables([value("a = 1\nb", "2", hcl=True)], place, [])
    assert laid.files == {}
    assert "'a = 1\\nb' is left out" in laid.remarks[0]


def test_environment_variables_are_not_files(tmp_path: Path) -> None:
    assert overrides.variables([value("A", category="env")], tmp_path, []).files == {}


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ('variable "a" {}\nvariable b {\n}\n  variable   "c-d"   {', {"a", "b", "c-d"}),
        ("locals {\n  variable = 1\n}\n", set()),
        ('output "x" {\n  value = var.variable\n}\n', set()),
        ('# variable "commented" {\n', {"commented"}),
        ('variable /* why */ "a" {}\n', None),
        ('variable "a\\u0062" {}\n', None),
        ('variable\t"tab" {}\n', {"tab"}),
        ("variable_of_mine {}\n", set()),
    ],
)
def test_declared_variables_are_found_and_doubt_is_admitted(
    tmp_path: Path, text: str, declared: set[str] | None
) -> None:
    found = overrides.declared_variables(root(tmp_path, main__tf=text))
    assert found == (None if declared is None else frozenset(declared))


def test_declared_variables_are_found_in_json_too(tmp_path: Path) -> None:
    place = root(tmp_path, a__tf__json='{"variable": {"a": {}, "b": {}}}', b__tf__json='{"variable": [{"c": {}}]}')
    assert overrides.declared_variables(place) == frozenset("abc")


def test_what_is_no_json_makes_no_claim(tmp_path: Path) -> None:
    assert overrides.declared_variables(root(tmp_path, a__tf__json="{")) is None


def test_undeclared_values_are_left_out(tmp_path: Path) -> None:
    place = root(tmp_path, main__tf='variable "a" {}\n')
    laid = overrides.variables([value("a"), value("of_a_set")], place, ["main.tf"])
    assert json.loads(laid.files["zzz_stateroom.auto.tfvars.json"]) == {"a": "x"}


def test_an_expression_that_would_define_another_variable_stops_the_run(tmp_path: Path) -> None:
    place = root(tmp_path, main__tf='variable "a" {}\nvariable "b" {}\n')
    with pytest.raises(Invalid, match="no single expression"):
        overrides.variables([value("a", "1\nb = 2", hcl=True)], place, [])


def test_an_expression_that_is_still_to_come_stops_the_runs_that_declare_it(tmp_path: Path) -> None:
    place = root(tmp_path, main__tf='variable "a" {}\n')
    with pytest.raises(Invalid, match=r"a \(workspace\) is HCL and has no value yet"):
        overrides.variables([value("a", "", hcl=True)], place, [])
    assert overrides.variables([value("other", "", hcl=True)], place, []).files == {}
