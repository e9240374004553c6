"""Messages between worker, spawner and supervisor: a length, the bytes, and perhaps open files."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence

_HEADER = struct.Struct("!I")
LONGEST = 256 * 1024 * 1024


def send(connection: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    header = _HEADER.pack(len(data))
    if descriptors:
        socket.send_fds(connection, [header], list(descriptors))
        connection.sendall(data)
    else:
        connection.sendall(header + data)


def receive(connection: socket.socket, *, descriptors: int = 0) -> tuple[bytes, list[int]] | None:
    """The next message and up to *descriptors* open files, or None when the other side has gone, even if it left
    something of ours unread."""
    received: list[int] = []
    try:
        header, received, _, _ = socket.recv_fds(connection, _HEADER.size, descriptors, socket.MSG_CMSG_CLOEXEC)
        header += _exactly(connection, _HEADER.size - len(header)) if header else b""
        if len(header) < _HEADER.size:
            raise EOFError
        (length,) = _HEADER.unpack(header)
        if length > LONGEST:
            raise ValueError(f"a message of {length} bytes is longer than any of ours")
        return _exactly(connection, length), received
    except (EOFError, ConnectionResetError):
        for descriptor in received:
            os.close(descriptor)
        return None


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(min(length - len(data), 1 << 20))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
