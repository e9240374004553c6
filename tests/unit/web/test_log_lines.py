from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from app.web import log_lines
from app.web.log_lines import Line, Position, Reader

LOG = st.lists(st.sampled_from([b"one", b"\n", b"\x1b[31m", b"\x1b[0m", "é…".encode(), b"\r", b"x" * 90])).map(b"".join)


def read(pieces: list[bytes]) -> list[Line]:
    reader = Reader(Position())
    lines = []
    for piece in pieces:
        reader.add(piece)
        lines += reader.lines(10**6)
    return lines


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


@given(LOG, st.lists(st.integers(0, 10_000), max_size=6))
def test_lines_do_not_depend_on_how_the_bytes_came(content: bytes, places: list[int]) -> None:
    log = b"\x02" + content + b"\x03"
    assert read(cut(log, places)) == read([log])


@given(LOG, st.integers(0, 50))
def test_reading_goes_on_where_a_position_says(content: bytes, some: int) -> None:
    log = b"\x02" + content + b"\x03"
    first = Reader(Position())
    first.add(log)
    begun = first.lines(some)
    position = Position.parse(str(first.position))
    assert position == first.position
    second = Reader(position)
    second.add(log[position.offset :])
    assert begun + second.lines(10**6) == read([log])


@given(LOG, st.integers(0, 5))
def test_skipping_leaves_the_last_lines_with_their_numbers(content: bytes, leave: int) -> None:
    log = b"\x02" + content + b"\n\x03"
    every = read([log])
    reader = Reader(Position())
    reader.add(log)
    skipped = reader.skip(leave)
    left = reader.lines(10**6)
    assert skipped + len(left) == len(every)
    assert [(line.number, line.offset) for line in left] == [(line.number, line.offset) for line in every[skipped:]]


def test_a_line_is_given_out_when_it_is_whole() -> None:
    reader = Reader(Position())
    reader.add(b"\x02one\ntw")
    assert [str(line.markup) for line in reader.lines(9)] == ["one"]
    reader.add(b"o\x03")
    assert [(line.number, str(line.markup)) for line in reader.lines(9)] == [(2, "two")]
    assert reader.position.is_over


def test_a_log_of_nothing_has_no_line() -> None:
    assert read([b"\x02\x03"]) == []


def test_a_long_line_is_cut_and_its_colour_ends_where_it_ended() -> None:
    reader = Reader(Position())
    reader.add(b"\x1b[31m" + b"x" * 10_000 + b"\x1b[0m\nplain\n")
    long, plain = reader.lines(9)
    assert (long.is_cut, len(long.markup) < 4200, str(plain.markup)) == (True, True, "plain")


def test_a_line_without_end_does_not_grow_for_ever() -> None:
    reader = Reader(Position())
    reader.add(b"x" * (3 * log_lines.LONGEST_LINE))
    assert [line.offset for line in reader.lines(9)] == [0, log_lines.LONGEST_LINE]
    assert reader.position.number == 1


def test_a_position_of_somebody_else_is_none() -> None:
    for text in ("", "1.2", "1.2.zz.0", "-1.2..0", "1.2..0\n", "9" * 20 + ".1..0", "1.2.abcde.0", "١.1..0"):
        assert Position.parse(text) is None, text
