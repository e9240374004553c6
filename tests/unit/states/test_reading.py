"""A state is understood as it streams by."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import Invalid
from app.states.reading import MOST_LISTED, Contents, StateReader

STATE: dict[str, Any] = {
    "version": 4,
    "terraform_version": "1.11.4",
    "serial": 7,
    "lineage": "5b0d",
    "outputs": {
        "greeting": {"value": "hi", "type": "string"},
        "secret": {"value": {"a": [1, 2.5, None]}, "type": ["object", {"a": "dynamic"}], "sensitive": True},
    },
    "resources": [
        {
            "mode": "managed",
            "type": "terraform_data",
            "name": "a",
            "provider": "p",
            # Names of the format's own keys inside an instance must not be taken for the format's.
            "instances": [{"attributes": {"outputs": {"x": {"value": 1}}, "instances": [{}, {}]}}, {}],
        },
        {"module": "module.m", "mode": "data", "type": "t", "name": "b", "provider": "p", "instances": [{}]},
    ],
    "check_results": None,
}


def read(content: bytes, step: int = 10**6) -> Contents:
    reader = StateReader()
    for at in range(0, len(content), step):
        reader.feed(content[at : at + step])
    return reader.finish()


@pytest.mark.parametrize("step", [1, 3, 64, 10**6])
def test_a_state_says_the_same_however_it_is_cut(step: int) -> None:
    contents = read(json.dumps(STATE).encode(), step)
    assert (contents.version, contents.serial, contents.lineage) == (4, 7, "5b0d")
    assert contents.terraform_version == "1.11.4"
    assert [(output.name, json.loads(output.value), output.sensitive) for output in contents.outputs] == [
        ("greeting", "hi", False),
        ("secret", {"a": [1, 2.5, None]}, True),
    ]
    assert [(resource.module, resource.name, resource.count) for resource in contents.resources] == [
        ("root", "a", 2),
        ("module.m", "b", 1),
    ]
    assert contents.managed_instances == 2


def test_a_state_of_terraform_0_11_is_read_too() -> None:
    old = {
        "version": 3,
        "serial": 1,
        "lineage": "l",
        "modules": [
            {
                "path": ["root"],
                "outputs": {"x": {"sensitive": False, "type": "string", "value": "a"}},
                "resources": {"null_resource.a": {"primary": {"id": "1"}}, "data.x.y": {}},
            }
        ],
    }
    contents = read(json.dumps(old).encode())
    assert [output.value for output in contents.outputs] == ['"a"']
    assert [(resource.mode, resource.type) for resource in contents.resources] == [
        ("managed", "null_resource"),
        ("data", "x"),
    ]


@pytest.mark.parametrize("content", [b"", b"{", b'{"serial": 1', b"[]", b"5", b"hello", b'{"serial":1} x', b"\xff\xfe"])
def test_what_is_not_a_json_object_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(Invalid, match="not a Terraform state"):
        read(content)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_named(number: str) -> None:
    with pytest.raises(Invalid, match=r"no value of JSON, which knows no NaN and no Infinity\.$"):
        read(b'{"version": 4, "outputs": {"x": {"value": %s, "type": "number"}}}' % number.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
odd_shapes = st.dictionaries(
    st.sampled_from(["version", "serial", "lineage", "outputs", "resources", "modules", "terraform_version"]),
    json_values,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(odd_shapes, st.integers(1, 40))
def test_any_json_object_is_read_without_an_accident(shape: dict[str, Any], step: int) -> None:
    with suppress(Invalid):  # a serial of -1 is refused, in a sentence
        read(json.dumps(shape).encode(), step)


def test_of_very_many_resources_only_the_first_are_named_and_all_are_counted() -> None:
    block = {"mode": "managed", "type": "t", "provider": "p", "instances": [{}]}
    many = {"version": 4, "resources": [{**block, "name": f"r{number}"} for number in range(MOST_LISTED + 5)]}
    contents = read(json.dumps(many).encode())
    assert len(contents.resources) == MOST_LISTED
    assert contents.managed_instances == MOST_LISTED + 5
    assert contents.modules == {"root": {"t": MOST_LISTED + 5}}


@pytest.mark.parametrize("step", [1, 1000, 1999, 2000, 4001, 10**6])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_of_thousands_of_digits_is_refused_before_it_reaches_the_parser(step: int, sign: str) -> None:
    for before in ("", " ", '{"serial":', '{"resources": [1, '):
        with pytest.raises(Invalid, match="digits"):
            read(f"{before}{sign}{'9' * 20_000}".encode(), step)


def test_a_text_of_digits_is_no_number() -> None:
    document = {"version": 4, "outputs": {"x": {"value": "9" * 20_000}}}
    for step in (1, 1999, 10**6):
        assert json.loads(read(json.dumps(document).encode(), step).outputs[0].value) == "9" * 20_000
