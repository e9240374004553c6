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


HEAD: dict[str, Any] = {"version": 4, "serial": 1, "lineage": "5b0d"}


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


@pytest.mark.parametrize("content", [b"hello", b"\0\1", b"zzz", b"<html>", b"\x1f\x8b\x08"])
def test_what_never_began_as_json_is_not_told_of_its_numbers(content: bytes) -> None:
    with pytest.raises(Invalid, match="it does not begin as JSON does"):
        read(content)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"version": None}, "version"),
        ({"version": 99}, "version"),
        ({"version": 2}, "version"),
        ({"version": "4"}, "version"),
        ({"version": True}, "version"),
        ({"version": 4.0}, "version"),
        ({"version": {"version": 4}}, "version"),
        ({"version": 99, "encryption_version": "v0", "encrypted_data": "c2VhbGVk"}, "version"),
        ({"version": None, "encryption_version": "v0", "encrypted_data": {}}, "version"),
        ({"serial": None}, "serial"),
        ({"serial": "1"}, "serial"),
        ({"serial": -1}, "serial"),
        ({"serial": 1.0}, "serial"),
        ({"serial": True}, "serial"),
        ({"serial": 2**63}, "serial"),
        ({"serial": [1]}, "serial"),
        ({"lineage": None}, "lineage"),
        ({"lineage": 7}, "lineage"),
        ({"lineage": {}}, "lineage"),
    ],
)
@pytest.mark.parametrize("whole_up_to", [None, 0])
def test_json_that_no_terraform_could_read_as_a_state_is_refused(
    changes: dict[str, Any], what: str, whole_up_to: int | None
) -> None:
    """A plan that began from it could only fail."""
    document = {**HEAD, **changes}
    for absent in [{name: value for name, value in document.items() if value is not None}, document]:
        reader = StateReader(whole_up_to)
        reader.feed(json.dumps(absent).encode())
        with pytest.raises(Invalid, match=f"not a Terraform state: its {what} is not"):
            reader.finish()


def test_a_name_that_comes_twice_counts_as_terraform_reads_it() -> None:
    assert read(b'{"version": 99, "serial": 1, "lineage": "l", "version": 4}').version == 4
    with pytest.raises(Invalid, match="serial"):
        read(b'{"version": 4, "serial": 1, "lineage": "l", "serial": {}}')


@pytest.mark.parametrize("whole_up_to", [None, 0])
def test_a_state_that_opentofu_encrypted_is_one(whole_up_to: int | None) -> None:
    """Serial and lineage stand in clear, for servers like this one; there is no version."""
    sealed = {"serial": 3, "lineage": "5b0d", "meta": {"key_provider.pbkdf2.a": "eyJzYWx0IjoiIn0="},
              "encrypted_data": "c2VhbGVk", "encryption_version": "v0"}  # fmt: skip
    reader = StateReader(whole_up_to)
    reader.feed(json.dumps(sealed).encode())
    contents = reader.finish()
    assert (contents.version, contents.serial, contents.lineage, contents.outputs) == (None, 3, "5b0d", [])


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
    many = {**HEAD, "resources": [{**block, "name": f"r{number}"} for number in range(MOST_LISTED + 5)]}
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
    document = {**HEAD, "outputs": {"x": {"value": "9" * 20_000}}}
    for step in (1, 1999, 10**6):
        assert json.loads(read(json.dumps(document).encode(), step).outputs[0].value) == "9" * 20_000
