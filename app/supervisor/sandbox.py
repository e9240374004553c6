"""Where terraform runs: in bubblewrap, or, only when a site says so, in nothing at all.

Both kinds start a command and give back the same thing: something to read its output from, to signal and to wait for.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from app.supervisor.spec import Directories, Spec

PROXY_PORT = 3128

Problem: TypeAlias = str
"""A sentence or two: what does not work, why, what to do."""


class SandboxFailure(Exception):
    """The sandbox did not come up; says why, and what to do."""


@dataclass(frozen=True)
class Inside:
    """The paths as the run sees them; files written for a run (backend, CLI configuration) name these."""

    config: str
    state: str
    out: str
    home: str
    cli_config: str
    mirror: str
    run_mirror: str
    providers: str = ""


BWRAP_INSIDE = Inside(
    config="/stateroom/config",
    state="/stateroom/state",
    out="/stateroom/out",
    home="/stateroom/home",
    cli_config="/stateroom/cli.tfrc",
    mirror="/stateroom/mirror",
    run_mirror="/stateroom/run-mirror",
    providers="/stateroom/providers",
)


def inside(
    kind: str,
    directories: Directories,
    *,
    mirror: str | None = None,
    run_mirror: str | None = None,
    providers: str | None = None,
) -> Inside:
    """Where a run of *kind* finds its things.

    Without a sandbox these are the real paths.  A saved plan remembers the state's path, so there both phases of a run
    must be given the same directories.
    """
    if kind == "bwrap":
        return BWRAP_INSIDE
    cli_config = unsandboxed_cli_config(directories.control)
    return Inside(
        config=directories.config,
        state=directories.state,
        out=directories.out,
        home=os.path.join(os.path.dirname(cli_config), "home"),
        cli_config=cli_config,
        mirror=mirror or "",
        run_mirror=run_mirror or "",
        providers=providers or "",
    )


def unsandboxed_cli_config(control: str | os.PathLike[str]) -> str:
    """Where a phase without a sandbox finds it, in a directory that is gone once all of the phase has ended."""
    return os.path.join(control, "unsandboxed", "cli.tfrc")


class Running(Protocol):
    """A command that has been started."""

    output: int
    """Its stdout and stderr, to read until the end; stderr alone if there is a `document`."""
    document: int | None
    """Its stdout, if that was asked for apart."""
    ended: int
    """Readable when it has ended."""

    def signal(self, number: signal.Signals) -> bool:
        """Signal terraform itself; False if it does not run (yet, or any more)."""

    def destroy(self) -> None:
        """End everything that was started, at once."""

    def wait(self) -> int:
        """The exit code; 128 + the signal's number if it was killed by one."""


class Serve(Protocol):
    def __call__(self, listener: socket.socket) -> None: ...


class Sandbox(Protocol):
    @property
    def inside(self) -> Inside: ...

    def open(self) -> None:
        """Hand the run its directories."""

    def start(
        self, program: Sequence[str], environment: Mapping[str, str], serve: Serve, *, document: bool = False
    ) -> Running:
        """Start *program*.

        *serve* is given the socket on which the run's proxy is to listen, before it runs.
        """

    def close(self) -> Problem | None:
        """End whatever the run left running, however it went away from terraform; what could not be ended, if any."""


def proxy_environment(port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    return dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), url)


def for_spec(spec: Spec) -> Sandbox:
    from app.supervisor.bubblewrap import Bubblewrap
    from app.supervisor.unsandboxed import Unsandboxed

    return Bubblewrap(spec) if spec.sandbox == "bwrap" else Unsandboxed(spec)


def find(directory: str | None = None, uid: int | None = None) -> str:
    """The bwrap that works here, for runs below *directory* as *uid*; `SandboxFailure` with the remedy if none does."""
    from app.supervisor import probe

    return probe.find(directory, uid)


def probe(directory: str | None = None, uid: int | None = None) -> Problem | None:
    """Why no sandbox can be had here and how to allow it, or None if all is well."""
    try:
        find(directory, uid)
    except SandboxFailure as failure:
        return str(failure)
    return None


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def hand_over(root: str, uid: int) -> None:
    """Make *uid* the owner of *root* and all below it, following no link."""
    for _, folders, files, here in os.fwalk(root, follow_symlinks=False):
        for name in folders + files:
            os.chown(name, uid, uid, dir_fd=here, follow_symlinks=False)
    os.chown(root, uid, uid, follow_symlinks=False)
