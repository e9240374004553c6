"""Try whether a sandbox can be had on this machine, by having one, and know what to say if not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from app.supervisor.bubblewrap import Bubblewrap, candidates
from app.supervisor.command import see_through
from app.supervisor.sandbox import SandboxFailure
from app.supervisor.spec import Directories, Limits, Spec, Tools, Workspace
from app.supervisor.stop import Stop

_SECONDS = 60
_FIRST_SLOT = 210_000
_SWITCHES = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
)


def find(directory: str | None, uid: int | None) -> str:
    """See `sandbox.find`.  Tried in a process of its own, since a sandbox is made by forking."""
    programs = list(candidates())
    if not programs:
        raise SandboxFailure("There is no bwrap on this machine. Install bubblewrap with the system's package manager.")
    if not os.access("/usr/bin/prlimit", os.X_OK):
        raise SandboxFailure("There is no /usr/bin/prlimit on this machine. Install util-linux.")
    reasons = [_tried(program, directory, uid) for program in programs]
    for program, reason in zip(programs, reasons, strict=True):
        if reason is None:
            return program
    raise SandboxFailure(f"{reasons[-1]} {_remedy()}")


def _tried(program: str, directory: str | None, uid: int | None) -> str | None:
    """Why *program* does not do, or None."""
    here = str(Path(__file__).resolve().parents[2])
    order = json.dumps({"program": program, "directory": directory, "uid": uid})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "app.supervisor.probe", order],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": here, "LANG": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        return f"{program} did not end within {_SECONDS} seconds."
    if done.returncode == 0:
        return None
    return done.stdout.strip() or f"{program} could not be tried: {done.stderr.strip()[-400:]}"


def _remedy() -> str:
    """How to allow it, as far as this machine shows what forbids it."""
    for path, forbidding, allowing in _SWITCHES:
        switch = Path("/proc/sys", path)
        if switch.exists() and switch.read_text().strip() == forbidding:
            return f"This machine forbids user namespaces. Allow them: sysctl -w {allowing}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "This is a container, which must be allowed to make namespaces: start it with --security-opt "
            "seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined."
        )
    return "The kernel must allow user, mount and network namespaces (see user_namespaces(7))."


def attempt(program: str, directory: str | None, uid: int | None) -> None:
    """Run `true` just as a run would run terraform, below *directory*; raises `SandboxFailure`."""
    true = next(path for path in ("/usr/bin/true", "/bin/true") if os.path.exists(path))
    with tempfile.TemporaryDirectory(dir=directory, prefix="probe-") as place:
        spec = _spec(program, place, true, uid)
        sandbox = Bubblewrap(spec)
        sandbox.open()
        said: list[bytes] = []
        running = sandbox.start([], {}, lambda listener: listener.close())
        code = see_through(running, Stop(None, float("inf")), said.append, grace=1)
    if code:
        raise SandboxFailure(f"The sandbox does not work: {b''.join(said).decode(errors='replace').strip()}.")


def _spec(program: str, place: str, true: str, uid: int | None) -> Spec:
    directories = Directories(*(os.path.join(place, name) for name in ("config", "state", "out", "control")))
    for path in (directories.config, directories.state, directories.out):
        os.mkdir(path, 0o700)
    if uid is None and os.geteuid() == 0:
        uid = _FIRST_SLOT
    return Spec(
        phase="plan",
        directories=directories,
        tools=Tools(true, "probe", cli_config=""),
        workspace=Workspace("", ""),
        limits=Limits(seconds=_SECONDS),
        api_url="",
        token="",
        bwrap=program,
        uid=uid,
    )


def main(order: str) -> int:
    try:
        attempt(**json.loads(order))
    except (SandboxFailure, OSError) as failure:
        print(failure)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
