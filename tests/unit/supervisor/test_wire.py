"""Messages between the processes of a phase."""

from __future__ import annotations

import socket

from app.supervisor import wire


def test_a_message_arrives_whole() -> None:
    one, other = socket.socketpair()
    with one, other:
        wire.send(one, b"hello")
        assert wire.receive(other) == (b"hello", [])


def test_who_has_gone_says_nothing_more() -> None:
    one, other = socket.socketpair()
    one.close()
    with other:
        assert wire.receive(other) is None


def test_who_has_gone_without_reading_says_nothing_more_either() -> None:
    one, other = socket.socketpair()
    with other:
        wire.send(other, b"never read")
        one.close()
        assert wire.receive(other) is None
