"""The spawner: a process with everything imported, which forks a supervisor for each order in a millisecond.

`python -m app.supervisor.spawner FD` is started by a worker with one end of a socket pair; it ends when the other end
is closed.  It has no threads and remembers nothing of an order.
"""

from __future__ import annotations

import encodings.idna
import gc
import json
import os
import signal
import socket
import sys
import traceback
from types import FrameType
from typing import NoReturn

from app.supervisor import bubblewrap, main, namespaces, unsandboxed, wire
from app.supervisor.spec import Spec

#: What a supervisor would import on its way; the codec of host names alone takes 5 ms.
PRELOADED = (bubblewrap, unsandboxed, encodings.idna)


def serve(worker: socket.socket) -> None:
    """Fork for each message: an order with the life line of its phase.  Answer with the pid and a handle on it."""
    while (message := wire.receive(worker, descriptors=1)) is not None:
        order, descriptors = message
        line = socket.socket(fileno=descriptors[0])
        # Until there is a handle on it, a supervisor that ends at once must not be reaped.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        supervisor = os.fork()
        if supervisor == 0:
            _become_supervisor(worker, order, line)
        handle = os.pidfd_open(supervisor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        line.close()
        del order, message
        try:
            wire.send(worker, json.dumps({"pid": supervisor}).encode(), [handle])
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            os.close(handle)


def _become_supervisor(worker: socket.socket, order: bytes, line: socket.socket) -> NoReturn:
    worker.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    code = 1
    try:
        os.setsid()
        main.supervise(Spec.decode(order), line)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _reap(_signal: int = 0, _frame: FrameType | None = None) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def run(descriptor: int) -> None:
    # Ctrl-C in a terminal, or a service manager, reaches the worker too: that decides, and closes the socket.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    namespaces.adopt_orphans()
    namespaces.prctl(namespaces.PR_SET_NAME, b"stateroom-spawn")
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as worker:
        try:
            wire.send(worker, b"ready")
        except (BrokenPipeError, ConnectionResetError):
            return  # the worker ended while this was importing
        signal.signal(signal.SIGCHLD, _reap)
        serve(worker)


if __name__ == "__main__":
    run(int(sys.argv[1]))
