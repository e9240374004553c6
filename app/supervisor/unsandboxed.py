"""No sandbox: terraform as an ordinary child of the supervisor, on the machine itself.

For machines that cannot have one, by explicit setting.  The proxy is offered to the run, not forced on it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.supervisor import leftovers, namespaces
from app.supervisor.sandbox import Inside, Problem, Serve, exit_code, inside, proxy_environment
from app.supervisor.spec import Spec

_OURS = Path("/proc/self/comm").read_text()


class Unsandboxed:
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self.inside: Inside = inside(
            "none", spec.directories, mirror=spec.tools.mirror, run_mirror=spec.tools.run_mirror
        )
        self._own = Path(self.inside.home).parent

    def open(self) -> None:
        Path(self.inside.home).mkdir(parents=True, mode=0o700)
        with open(self.inside.cli_config, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(self._spec.tools.cli_config)

    def close(self) -> Problem | None:
        left = leftovers.end_below_me(self.inside.cli_config)
        shutil.rmtree(self._own, ignore_errors=True)
        if not left:
            return None
        pids = ", ".join(map(str, sorted(left)))
        return f"Processes that this run started could not be ended and go on on the worker: {pids}. End them by hand."

    def start(
        self, program: Sequence[str], environment: Mapping[str, str], serve: Serve, *, document: bool = False
    ) -> Running:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        supervisor = os.getpid()
        output, their_output = os.pipe()
        documents, their_document = os.pipe() if document else (None, their_output)
        terraform = os.fork()
        if terraform == 0:
            try:
                os.setsid()
                os.umask(0o022)
                namespaces.die_with(supervisor)
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(their_document, 1)
                os.dup2(their_output, 2)
                os.chdir(os.path.join(self.inside.config, self._spec.directories.working))
                command = ["prlimit", *self._limits(), "--", self._spec.tools.terraform, *program]
                os.execve("/usr/bin/prlimit", command, {**environment, **proxy_environment(port)})
            except BaseException as error:
                os.write(2, f"terraform could not be started: {error}\n".encode())
            os._exit(126)
        os.close(their_output)
        if document:
            os.close(their_document)
        serve(listener)
        return Running(terraform, output, documents)

    def _limits(self) -> list[str]:
        """Not the number of processes: out here that counts all of the user's."""
        limits = self._spec.limits
        return [f"--data={limits.memory}", f"--fsize={limits.file_size}", "--core=0"]


class Running:
    def __init__(self, terraform: int, output: int, document: int | None) -> None:
        self.output, self.document = output, document
        self.ended = os.pidfd_open(terraform)
        self._terraform = terraform

    def signal(self, number: signal.Signals) -> bool:
        try:
            if Path(f"/proc/{self._terraform}/comm").read_text() in ("prlimit\n", _OURS):
                return False  # not terraform yet: it would just die
            signal.pidfd_send_signal(self.ended, number)
        except OSError:
            return False
        return True

    def destroy(self) -> None:
        """The session it was given; whatever left that is ended when the sandbox is closed."""
        for end in (os.killpg, os.kill):
            try:
                end(self._terraform, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def wait(self) -> int:
        _, status = os.waitpid(self._terraform, 0)
        os.close(self.ended)
        return exit_code(status)
