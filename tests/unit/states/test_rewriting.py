"""Only the serial changes, wherever the bytes are cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Conflict
from app.states.rewriting import with_serial


async def cut(content: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), step):
        yield content[at : at + step]


def rewritten(content: bytes, serial: int, step: int = 7) -> bytes:
    async def join() -> bytes:
        return b"".join([piece async for piece in with_serial(cut(content, step), serial)])

    return asyncio.run(join())


ODD = b"""{
  "version" : 4, "note": "\\"serial\\": 1, \\\\", "outputs": {"serial": {"value": 1e400, "serial": 9}},
  "list": ["serial", 3], "serial"
  :   12  , "x": 1.10000000000000000000000000001, "resources": [{"serial": 5}]
}
"""


@pytest.mark.parametrize("step", [1, 2, 3, 5, 64, 10_000])
def test_all_but_the_serial_of_the_top_level_stays_as_it_is(step: int) -> None:
    assert rewritten(ODD, 987, step) == ODD.replace(b":   12  ,", b":   987  ,")


@pytest.mark.parametrize("content", [b"{}", b'{"serial": "1"}', b'{"a": {"serial": 1}}', b"[1]", b'{"Serial": 1}', b""])
def test_a_state_without_a_serial_is_refused(content: bytes) -> None:
    with pytest.raises(Conflict, match="no serial"):
        rewritten(content, 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("serial"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("serial"), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5), st.integers(0, 9), st.integers(1, 20), st.booleans())
def test_any_state_reads_as_before_with_another_serial(
    others: dict[str, object], serial: int, step: int, is_indented: bool
) -> None:
    others.pop("serial", None)
    items = [*others.items()]
    document = dict([*items[:2], ("serial", serial), *items[2:]])
    text = json.dumps(document, indent=2 if is_indented else None)
    assert json.loads(rewritten(text.encode(), 77, step)) == {**document, "serial": 77}
