"""What Python 3.11 has no function for: namespaces, mounts and the process's own last wishes, through libc."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
from collections.abc import Sequence

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_SLAVE = 1, 2, 4, 8, 4096, 16384, 1 << 19
PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 36
NS_GET_USERNS = 0xB701
IP_FREEBIND = 15

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def prctl(option: int, value: int | bytes) -> None:
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    _call("prctl", option, argument, 0, 0, 0)


def adopt_orphans() -> None:
    """Children of children that lose their parent become ours, to be reaped, instead of process 1's."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Be killed when *parent* ends, or now if it has ended already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def setns(descriptor: int, kind: int) -> None:
    _call("setns", descriptor, kind)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    def encoded(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    _call(
        "mount",
        ctypes.c_char_p(encoded(source)),
        ctypes.c_char_p(encoded(target)),
        ctypes.c_char_p(encoded(kind)),
        ctypes.c_ulong(flags),
        ctypes.c_char_p(encoded(data)),
    )


def show_under_mnt(sources: Sequence[str]) -> dict[str, str]:
    """Give this process alone a `/mnt` in which each of *sources* lies, whatever directories are above it.

    A slot's user may not be allowed to search the directories above a run's.  Needs root, and a process of its own.
    The answer says where each source is now.
    """
    unshare(CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_SLAVE)
    # One of them may lie below the real /mnt, so they are taken hold of before that is covered.
    handles = {source: os.open(source, os.O_PATH | os.O_CLOEXEC) for source in sources}
    mount("stateroom", "/mnt", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    places = {}
    for number, (source, handle) in enumerate(handles.items()):
        place = places[source] = f"/mnt/{number}"
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            os.mkdir(place, 0o755)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        mount(f"/proc/self/fd/{handle}", place, None, MS_BIND)
        os.close(handle)
    return places


def listen_inside(pid: int, address: tuple[str, int]) -> socket.socket:
    """A listening socket in the network namespace of *pid*; what it accepts is ours, out here.

    A forked child joins that namespace, since joining needs a process with one thread and cannot be undone.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            with _listening(pid, address) as listener:
                socket.send_fds(theirs, [b"+"], [listener.fileno()])
        except BaseException as error:
            theirs.sendall(f"-{error}".encode())
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        said, descriptors, _, _ = socket.recv_fds(ours, 4096, 1, socket.MSG_CMSG_CLOEXEC)
    os.waitpid(child, 0)
    if not descriptors:
        raise OSError(f"no socket could be placed inside the sandbox: {said[1:].decode(errors='replace')}")
    return socket.socket(fileno=descriptors[0])


def _listening(pid: int, address: tuple[str, int]) -> socket.socket:
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    # The user namespace that owns it: bwrap enters a second one later, and that has no say over the network.
    setns(fcntl.ioctl(network, NS_GET_USERNS), CLONE_NEWUSER)
    setns(network, CLONE_NEWNET)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)  # the loopback may not be up yet
    listener.bind(address)
    listener.listen(128)
    return listener
