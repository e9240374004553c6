"""What a run can see and reach from inside."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from app.supervisor import bubblewrap, sandbox
from app.supervisor.client import Spawner
from app.supervisor.collect import Refused, open_inside
from app.supervisor.control import EGRESS
from app.supervisor.spec import GENERATED_FILE, PLAN_FILE, Egress, Limits, Options
from tests.integration.supervisor.fake_api import TOKEN, WORKSPACE, FakeApi
from tests.integration.supervisor.place import SLOT_UID, WORKSPACE_NAME, Place, running
from tests.integration.supervisor.watching import ended, log

HOST_NAME = Path("/etc/hostname").read_bytes()

#: A program for the sandbox's own Python: asks the proxy, or the network itself, and says what it heard.
ASK = """
import json, os, socket, sys

def proxy(head):
    with socket.create_connection(("127.0.0.1", 3128), 10) as connection:
        connection.sendall(head.encode() + b"\\r\\n\\r\\n")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
            if b" 200 Connection established" in answer:
                break
        return answer.decode().splitlines()[0] if answer else "nothing"

def direct(address):
    kind = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(kind) as connection:
        connection.settimeout(5)
        try:
            connection.connect(address)
        except OSError as error:
            return os.strerror(error.errno) if error.errno else "timeout"
        return "CONNECTED"

def look(path):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path).read()
    except OSError as error:
        return os.strerror(error.errno)
    return "READABLE"

def write(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return os.strerror(error.errno)
    return "WRITABLE"

ask = {"proxy": proxy, "direct": lambda address: direct(tuple(address)), "look": look, "write": write}
print("ANSWERS " + json.dumps([ask[kind](what) for kind, what in json.loads(sys.argv[1])]))
"""


async def ask(place: Place, spawner: Spawner, questions: list[tuple[str, object]], **changes: object) -> list[str]:
    """The answers that a command inside an apply gets."""
    configuration = {
        "ask.py": ASK,
        "questions.json": json.dumps(questions),
        "main.tf": """
            resource "terraform_data" "ask" {
              provisioner "local-exec" {
                command = "/usr/bin/python3 ask.py \\"$(cat questions.json)\\""
              }
            }
        """,
    }
    await ended(await spawner.launch(place.spec("plan", configuration, **changes), outlives_worker=False))
    phase = await spawner.launch(place.spec("apply", configuration, **changes), outlives_worker=True)
    result = await ended(phase)
    assert result.outcome == "finished", log(phase.control)
    line = next(line for line in log(phase.control).splitlines() if "ANSWERS " in line)
    place.last_control = phase.control
    place.last_result = result
    return list(json.loads(line.partition("ANSWERS ")[2].replace("\x1b[0m", "")))


@contextmanager
def service(host: str = "127.0.0.1") -> Iterator[int]:
    """Something on this machine that a run must not reach, or only if the site says so."""
    with socket.create_server((host, 0)) as server:

        def greet() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        threading.Thread(target=greet, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


async def test_nothing_is_reached_directly(place: Place, spawner: Spawner) -> None:
    with service() as port:
        addresses = [
            ("127.0.0.1", port), ("::1", port), ("10.0.0.1", 80), ("169.254.169.254", 80), ("8.8.8.8", 53),
        ]  # fmt: skip
        answers = await ask(place, spawner, [("direct", address) for address in addresses])
    assert answers[0] == "Connection refused"
    assert set(answers[1:]) <= {"Connection refused", "Network is unreachable", "Cannot assign requested address"}


FORBIDDEN = [
    "127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]",
    "169.254.169.254", "10.0.0.1", "no-such-host.invalid", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]",
]  # fmt: skip


async def test_the_proxy_refuses_every_private_host_even_if_listed(place: Place, spawner: Spawner) -> None:
    with service() as port:
        listed = Egress(allow=tuple(name.strip("[]") for name in FORBIDDEN))
        connects = [("proxy", f"CONNECT {host}:{port} HTTP/1.1") for host in FORBIDDEN]
        gets = [("proxy", f"GET http://{host}:{port}/ HTTP/1.1") for host in FORBIDDEN]
        answers = await ask(place, spawner, [*connects, *gets], egress=listed)
    assert [answer.split()[1] for answer in answers] == ["403"] * (2 * len(FORBIDDEN))
    assert place.last_result.hosts == ()
    entries = [json.loads(line) for line in (place.last_control / EGRESS).read_text().splitlines()]
    assert {entry["decision"] for entry in entries} == {"refused"}
    assert len(entries) == len(answers)


async def test_the_proxy_connects_where_the_site_allows(place: Place, spawner: Spawner) -> None:
    with service() as port, service() as other:
        questions: list[tuple[str, object]] = [
            ("proxy", f"GET http://localhost:{port}/ HTTP/1.1"),
            ("proxy", f"CONNECT localhost:{port} HTTP/1.1"),
            ("proxy", f"CONNECT localhost:{other} HTTP/1.1"),
        ]
        answers = await ask(place, spawner, questions, egress=Egress(private=(f"localhost:{port}",)))
    assert answers[0] == "HTTP/1.1 200 OK"
    assert answers[1] == "HTTP/1.1 200 Connection established"
    assert answers[2].startswith("HTTP/1.1 403 Forbidden: Stateroom's proxy does not connect to localhost")
    assert place.last_result.hosts == ("localhost",)


async def test_only_what_a_run_may_use_of_the_api_is_open(place: Place, api: FakeApi, spawner: Spawner) -> None:
    bearer = f"Authorization: Bearer {TOKEN}"
    base = "http://stateroom.internal"
    questions: list[tuple[str, object]] = [
        ("proxy", f"GET {base}/api/v2/workspaces/{WORKSPACE} HTTP/1.1\r\n{bearer}"),
        ("proxy", f"GET {base}/api/v2/workspaces/{WORKSPACE} HTTP/1.1"),
        ("proxy", f"POST {base}/api/v2/workspaces/{WORKSPACE}/state-versions HTTP/1.1\r\n{bearer}"),
        ("proxy", f"GET {base}/api/v2/account/details HTTP/1.1\r\n{bearer}"),
        ("proxy", f"GET {base}/v1/object/../../api/v2/account/details HTTP/1.1\r\n{bearer}"),
        ("proxy", "CONNECT stateroom.internal:80 HTTP/1.1"),
        ("proxy", "CONNECT stateroom.internal:443 HTTP/1.1"),
        ("proxy", "GET /api/v2/ping HTTP/1.1"),
        ("proxy", "nonsense"),
    ]
    answers = await ask(place, spawner, questions)
    assert [answer.split()[1] for answer in answers] == ["200", "401", "403", "403", "403", "403", "403", "400", "400"]
    assert ("GET", "/api/v2/account/details") not in api.calls


async def test_another_workspaces_state_is_read_through_the_proxy(place: Place, api: FakeApi, spawner: Spawner) -> None:
    state = {
        "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "other", "resources": [],
        "outputs": {"address": {"value": "10.9.8.7", "type": "string"}},
    }  # fmt: skip
    api.other = json.dumps(state).encode()
    api.hold.set()
    configuration = {
        "main.tf": """
            data "terraform_remote_state" "other" {
              backend = "remote"
              config = {
                hostname     = "stateroom.internal"
                organization = "main"
                workspaces   = { name = "other" }
              }
            }
            output "address" { value = data.terraform_remote_state.other.outputs.address }
        """
    }
    phase = await spawner.launch(place.spec("plan", configuration), outlives_worker=False)
    result = await ended(phase)
    assert result.has_changes, log(phase.control)
    assert "10.9.8.7" in log(phase.control)
    assert result.hosts == ("stateroom.internal",)


async def test_inside_there_is_only_the_run(place: Place, spawner: Spawner) -> None:
    unreadable = ["/etc/shadow", "/root", "/home", "/var", str(place.root), str(Path(__file__)), "/run", "/sys"]
    unwritable = [
        "/usr/x",
        "/etc/x",
        "/x",
        "/stateroom/x",
        "/stateroom/cli.tfrc",
        "/stateroom/tools/x",
        "/dev/x",
        "/proc/sys/x",
    ]
    writable = [
        "/tmp/x",
        "/stateroom/home/x",
        "/stateroom/config/x",
        "/stateroom/state/x",
        "/stateroom/out/x",
        "/dev/shm/x",
    ]
    questions = [*(("look", path) for path in unreadable), *(("write", path) for path in [*unwritable, *writable])]
    answers = await ask(place, spawner, list(questions))
    found = dict(zip([*unreadable, *unwritable, *writable], answers, strict=True))
    assert {path: found[path] for path in unreadable} == dict.fromkeys(unreadable, "No such file or directory")
    assert [path for path in unwritable if found[path] == "WRITABLE"] == []
    assert [path for path in writable if found[path] != "WRITABLE"] == []


async def test_the_run_has_no_rights(place: Place, spawner: Spawner) -> None:
    script = """id -u
        grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs):' /proc/self/status
        unshare -U true
        tr '\\0' '\\n' < /proc/1/environ | wc -l"""
    configuration = running(script)
    await ended(await spawner.launch(place.spec("plan", configuration), outlives_worker=False))
    phase = await spawner.launch(place.spec("apply", configuration), outlives_worker=True)
    await ended(phase)
    said = [line.rpartition("\x1b[0m")[2] for line in log(phase.control).splitlines() if "(local-exec):" in line][1:]
    assert said[:5] == [
        "1000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ]
    assert "No space left on device" in "".join(said)  # no user namespace can be made
    assert said[-1] == "0"


async def test_files_belong_to_the_slots_user_outside(place: Place, spawner: Spawner) -> None:
    spec = place.spec("plan", {"main.tf": ""})
    await ended(await spawner.launch(spec, outlives_worker=False))
    owner = SLOT_UID if os.geteuid() == 0 else os.geteuid()
    assert os.stat(f"{spec.directories.config}/.terraform").st_uid == owner
    assert os.stat(f"{spec.directories.out}/{PLAN_FILE}").st_uid == owner


@pytest.mark.parametrize("target", ["link", "pipe", "directory"])
async def test_a_state_replaced_by_something_else_is_not_followed(
    place: Place, api: FakeApi, spawner: Spawner, target: str
) -> None:
    replace_by = {"link": "ln -s /etc/hostname", "pipe": "mkfifo", "directory": "mkdir"}[target]
    state = f"/stateroom/state/{WORKSPACE_NAME}/terraform.tfstate"
    plan = f"/stateroom/out/{PLAN_FILE}"
    script = f"rm -f {plan}; {replace_by} {plan}; rm -f {state}; {replace_by} {state}; sleep 0.3"
    configuration = running(script)
    await ended(await spawner.launch(place.spec("plan", configuration), outlives_worker=False))
    spec = place.spec("apply", configuration)
    phase = await spawner.launch(spec, outlives_worker=True)
    result = await ended(phase)
    assert HOST_NAME not in [version.data for version in api.versions]
    assert result.state.uploaded_version is None or api.finals[-1].resources == ["x"]
    with pytest.raises((Refused, FileNotFoundError)):
        open_inside(spec.directories.out, PLAN_FILE)


async def test_limits_hold_inside(place: Place, spawner: Spawner) -> None:
    script = "/bin/bash -c 'ulimit -u; ulimit -n; ulimit -c; ulimit -f; ulimit -d'"
    configuration = running(script)
    limits = Limits(seconds=60, processes=300, memory=1024 * 1024 * 1024, file_size=64 * 1024 * 1024, open_files=500)
    await ended(await spawner.launch(place.spec("plan", configuration, limits=limits), outlives_worker=False))
    phase = await spawner.launch(place.spec("apply", configuration, limits=limits), outlives_worker=True)
    await ended(phase)
    said = [line.rpartition("\x1b[0m")[2] for line in log(phase.control).splitlines() if "(local-exec):" in line][1:]
    assert said == ["300", "500", "0", "65536", "1048576"]


@pytest.mark.parametrize("program", list(bubblewrap.candidates()), ids=lambda path: Path(path).parts[-3])
async def test_each_bwrap_of_this_machine_does(place: Place, spawner: Spawner, program: str) -> None:
    phase = await spawner.launch(place.spec("plan", {"main.tf": ""}, bwrap=program), outlives_worker=False)
    assert (await ended(phase)).has_changes is False, log(phase.control)


async def test_a_sandbox_that_fails_is_an_error_and_never_none(place: Place, spawner: Spawner) -> None:
    phase = await spawner.launch(place.spec("plan", {"main.tf": ""}, bwrap="/bin/false"), outlives_worker=False)
    result = await ended(phase)
    assert (result.outcome, result.reason, result.steps) == ("errored", "sandbox", ())
    assert "Error: The sandbox could not be set up" in log(phase.control)


async def test_the_sandbox_can_be_had_here(place: Place) -> None:
    assert sandbox.probe(str(place.root)) is None
    assert list(place.root.iterdir()) == []


async def test_what_forbids_a_sandbox_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.supervisor.probe.candidates", lambda: iter(["/bin/false"]))
    problem = sandbox.probe(str(place.root))
    assert problem is not None
    assert "bwrap ended before it had started" in problem
    assert len(problem.split(". ")) >= 2  # a remedy follows


async def test_without_a_sandbox_the_same_steps_are_done(place: Place, api: FakeApi, spawner: Spawner) -> None:
    configuration = {
        "main.tf": """
            resource "terraform_data" "x" {
              input = terraform.workspace
              provisioner "local-exec" { command = "(setsid sleep 304 >/dev/null 2>&1 &); echo $HTTPS_PROXY" }
            }
        """
    }
    planned = await spawner.launch(place.spec("plan", configuration, sandbox="none"), outlives_worker=False)
    assert (await ended(planned)).has_changes is True, log(planned.control)
    phase = await spawner.launch(place.spec("apply", configuration, sandbox="none"), outlives_worker=True)
    result = await ended(phase)
    assert result.outcome == "finished", log(phase.control)
    assert "http://127.0.0.1:" in log(phase.control)
    assert api.finals[-1].resources == ["x"]
    assert not (phase.control / "unsandboxed").exists()


async def test_the_api_may_speak_tls_with_a_certificate_of_its_own(place: Place, spawner: Spawner) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = place.root / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    secure = FakeApi()
    server = secure.serve(context)
    place.api_url = secure.url
    bearer = f"Authorization: Bearer {TOKEN}"
    question = ("proxy", f"GET http://stateroom.internal/api/v2/workspaces/{WORKSPACE} HTTP/1.1\r\n{bearer}")
    answers = await ask(place, spawner, [question], ca_file=str(ca_file))
    assert answers == ["HTTP/1.1 200 OK"]
    assert secure.finals[-1].resources == ["ask"]
    server.shutdown()
    server.server_close()


async def test_configuration_may_be_generated_by_a_plan_that_fails(place: Place, spawner: Spawner) -> None:
    configuration = {"main.tf": 'import {\n to = terraform_data.x\n id = "some-id"\n}'}
    spec = place.spec("plan", configuration, options=Options(generates=True))
    phase = await spawner.launch(spec, outlives_worker=False)
    result = await ended(phase)
    with open_inside(spec.directories.out, GENERATED_FILE) as generated:
        assert b"terraform_data" in generated.read(), log(phase.control)
    assert result.plan_json is not None
