"""`make demo`: the whole product from nothing, driven by a stock terraform.

Starts `stateroom up` on a directory of its own, lets terraform init, plan and apply `examples/hello` through it,
then says how to go on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.cli import certificates, client_files, env, processes
from app.errors import StateroomError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "hello"
DATA = ROOT / ".demo"
ORGANIZATION, WORKSPACE = "main", "hello"
PORT = 8443
READY_SECONDS = 60.0
LOG_LINES = 15


def main() -> None:
    """Exit status 0 if terraform's three commands worked."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(demonstrate(DATA, interactive=sys.stdin.isatty()))
    except StateroomError as error:
        print(f"demo: {error.sentence}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nStopped before the end.", file=sys.stderr)
        sys.exit(130)


def demonstrate(data: Path, *, interactive: bool) -> int:
    terraform = find_terraform(data)
    data.mkdir(mode=0o700, exist_ok=True)
    say(f"Starting Stateroom on {_short(data)} ...")
    with server(data, sandbox(data)) as url:
        say(f"Stateroom answers at {url}.  Now the stock terraform uses it:")
        link = _login_link(data)
        worked = drive(terraform, data, url)
        output, _ = link.communicate()
        if worked:
            _tell(data, url, output.decode().strip(), interactive)
        else:
            say(f"That did not work.  What the server said is in {_short(_log(data))}.")
        if worked and interactive:
            _wait_for_ctrl_c()
    return 0 if worked else 1


def find_terraform(data: Path) -> str:
    """The terraform of PATH, else the newest one in the tools directory."""
    found = shutil.which("terraform")
    tools = Path(os.environ.get("STATEROOM_TOOLS_DIR") or data / "tools") / "terraform"
    there = sorted(tools.glob("*/terraform"), key=lambda path: _version(path.parent.name))
    if found or there:
        return found or str(there[-1])
    raise StateroomError(
        "There is no terraform on PATH, and the demo drives the stock one.  Install it as "
        "https://developer.hashicorp.com/terraform/install says, or put the program into "
        f"{tools}/VERSION/terraform (such as {tools}/1.11.4/terraform), and start again."
    )


def sandbox(data: Path) -> str:
    """`bwrap`, or `none` where this machine forbids it, which is said in plain words."""
    from app.supervisor import sandbox

    chosen = os.environ.get("STATEROOM_SANDBOX")
    problem = None if chosen else sandbox.probe(str(data))
    if problem is None:
        return chosen or "bwrap"
    say(
        f"NOTE: this machine does not let Stateroom confine what a run does: {problem}\n"
        "The demo goes on WITHOUT A SANDBOX: the example's commands run as you, like with a terraform of your "
        "own.  A real server refuses to run anything until this is put right."
    )
    return "none"


@contextmanager
def server(data: Path, sandbox: str) -> Iterator[str]:
    """`stateroom up` on *data*, until the block ends.  Gives its URL once it accepts requests."""
    port = _free_port(data)
    environment = {**os.environ, "STATEROOM_SANDBOX": sandbox, **processes.python_path()}
    argv = [*processes.COMMAND, "up", "--data", str(data), "--port", str(port), "--org", ORGANIZATION]
    with _log(data).open("wb") as log:
        process = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=processes.dies_with_us(signal.SIGTERM),
            start_new_session=True,  # Ctrl-C is ours; we stop it when we are through
        )
    try:
        yield _url(process, data)
    finally:
        _stop(process)


def drive(terraform: str, data: Path, url: str) -> bool:
    """The three commands of the demo, each shown before it runs."""
    backend = data / "hello.tfbackend"
    host = url.partition("://")[2]
    backend.write_text(
        f'hostname     = "{host}"\norganization = "{ORGANIZATION}"\nworkspaces {{\n  name = "{WORKSPACE}"\n}}\n'
    )
    environment = {**os.environ, **env.variables(data), "TF_DATA_DIR": str(data / "hello.terraform")}
    for name in ("TF_WORKSPACE", "TF_CLI_ARGS", "TF_CLOUD_HOSTNAME", "TF_CLOUD_ORGANIZATION"):
        environment.pop(name, None)
    always = ("-input=false",) if sys.stdout.isatty() else ("-input=false", "-no-color")
    commands = (
        ("init", *always, "-reconfigure", f"-backend-config={_short(backend, EXAMPLE)}"),
        ("plan", *always),
        ("apply", *always, "-auto-approve"),
    )
    return all(_run(terraform, command, environment) for command in commands)


def say(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    for line in text.splitlines():
        print(f"{bold}{line}{plain}", flush=True)


def _run(terraform: str, command: Sequence[str], environment: dict[str, str]) -> bool:
    say(f"\n{_short(EXAMPLE)} $ terraform {' '.join(command)}")
    return subprocess.run([terraform, *command], cwd=EXAMPLE, env=environment, check=False).returncode == 0


def _url(process: subprocess.Popen[bytes], data: Path) -> str:
    """What follows `ready` on its standard output."""
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    if not line.startswith("ready "):
        process.wait(READY_SECONDS)
        raise StateroomError(f"Stateroom did not start.  It said:\n{_last_lines(_log(data))}")
    return line.split()[1]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop it; Ctrl-C meanwhile hurries it."""
    process.send_signal(signal.SIGTERM)
    while True:
        try:
            process.wait()
            break
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
    if process.stdout is not None:
        process.stdout.close()


def _free_port(data: Path) -> int:
    """The usual one, the one used here before, or any that is free."""
    import socket

    before = data / "port"
    for port in (int(before.read_text()) if before.is_file() else PORT, PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            port = probe.getsockname()[1]
        if port != PORT:
            say(f"Port {PORT} is taken or was when this began; using {port}.")
        before.write_text(str(port))
        return port
    raise StateroomError("No port is free on 127.0.0.1.")


def _login_link(data: Path) -> subprocess.Popen[bytes]:
    """Begin to make a link; it is ready by the time terraform is."""
    return subprocess.Popen(
        [*processes.COMMAND, "user", "login-link", "admin", "--data", str(data)],
        env={**os.environ, **processes.python_path()},
        stdout=subprocess.PIPE,
    )


def _tell(data: Path, url: str, link: str, interactive: bool) -> None:
    """Where to look at it, and how to go on with a configuration of one's own."""
    host = url.partition("://")[2]
    page = f"{url}/app/{ORGANIZATION}/{WORKSPACE}/runs/{_run_id(data, url)}"
    say(f"\nThat ran on the server.  The run, in a browser:\n  {page}")
    say(f"Sign in with this link first (it works once, within the hour):\n  {link}")
    print(f"Browsers do not know the certificate; {_short(data / 'ca.pem')} is the authority that made it.")
    if not interactive:
        say("\nNobody is at the keyboard, so the server stops now.  In a terminal `make demo` keeps it.")
        return
    say("\nYour own configuration, in another shell while this runs:")
    print(
        f'  eval "$({_short(ROOT / ".venv/bin/stateroom")} env --data {_short(data)})"\n\n'
        "  terraform {\n"
        '    backend "remote" {\n'
        f'      hostname     = "{host}"\n'
        f'      organization = "{ORGANIZATION}"\n'
        '      workspaces { name = "mine" }\n'
        "    }\n"
        "  }\n\n"
        "  terraform init && terraform apply\n",
        flush=True,
    )


def _run_id(data: Path, url: str) -> str:
    """The newest run of the demo's workspace."""
    workspace = _get(data, f"{url}/api/v2/organizations/{ORGANIZATION}/workspaces/{WORKSPACE}")
    runs = _get(data, f"{url}/api/v2/workspaces/{workspace['data']['id']}/runs?page%5Bsize%5D=1")
    return str(runs["data"][0]["id"])


def _get(data: Path, url: str) -> Any:
    import json
    import ssl
    from urllib.request import Request, urlopen

    token = client_files.read_token(data)
    assert token is not None
    request = Request(url, headers={"Authorization": f"Bearer {token.reveal()}"})
    context = ssl.create_default_context(cafile=str(certificates.places(data).ca))
    with urlopen(request, timeout=READY_SECONDS, context=context) as answer:
        return json.loads(answer.read())


def _wait_for_ctrl_c() -> None:
    say("Serving until Ctrl-C.")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        say("\nStopping.  `make demo` starts it again as it is now.")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _log(data: Path) -> Path:
    return data / "up.log"


def _last_lines(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES:])


def _short(path: Path, start: Path | None = None) -> str:
    """As one would type it from *start*, or from here, if that is shorter."""
    return min((os.path.relpath(path, start), str(path)), key=len)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-")[0].split(".") if part.isdecimal())


if __name__ == "__main__":
    main()
