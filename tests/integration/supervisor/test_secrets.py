"""What a run's secrets must not touch: other processes' view, the log, the files that stay."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from app.supervisor.client import Spawner
from app.supervisor.control import EGRESS, LOG
from app.supervisor.spec import Limits
from tests.integration.supervisor.fake_api import TOKEN
from tests.integration.supervisor.place import Place, running
from tests.integration.supervisor.watching import descendants, ended, log, until_log_says

SECRET = "hunter2-is-my/secret+value"

WAITING = {
    "main.tf": """
        resource "terraform_data" "wait" {
          provisioner "local-exec" { command = "echo in the middle; while [ ! -e go ]; do sleep 0.05; done" }
        }
    """
}


def shown(pid: int, name: str) -> bytes:
    try:
        return Path("/proc", str(pid), name).read_bytes()
    except OSError:
        return b""


def visible(pid: int) -> bytes:
    """All that `/proc` shows of how *pid* was started."""
    return shown(pid, "cmdline") + shown(pid, "environ")


def shares_pids_with(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False


async def test_no_process_outside_shows_a_secret(place: Place, spawner: Spawner) -> None:
    changes = {"environment": {"CLOUD_KEY": SECRET}, "secrets": (SECRET,)}
    await ended(await spawner.launch(place.spec("plan", WAITING, **changes), outlives_worker=False))
    spec = place.spec("apply", WAITING, **changes)
    phase = await spawner.launch(spec, outlives_worker=True)
    await until_log_says(phase.control, "in the middle")
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    below = descendants(phase.pid)
    assert len(below) >= 4, "bwrap, its first process, terraform and the command are running"
    outside = [pid for pid in pids if shares_pids_with(pid)]
    assert phase.pid in outside
    for pid in pids:
        assert TOKEN.encode() not in visible(pid), f"the token is shown by {pid}"
    for pid in outside:
        assert SECRET.encode() not in visible(pid), f"the secret is shown by {pid}"
    bwraps = [pid for pid in below if shown(pid, "comm") == b"bwrap\n"]
    assert [shown(pid, "environ") for pid in bwraps] == [b"", b""]
    (place.root / "run" / "config" / "go").touch()
    assert (await ended(phase)).outcome == "finished", log(phase.control)


async def test_secrets_are_masked_in_the_log_however_they_are_written(place: Place, spawner: Spawner) -> None:
    script = "echo raw $CLOUD_KEY; echo $CLOUD_KEY | base64; cat $TF_CLI_CONFIG_FILE"
    configuration = running(script)
    changes = {"environment": {"CLOUD_KEY": SECRET}, "secrets": (SECRET,)}
    await ended(await spawner.launch(place.spec("plan", configuration, **changes), outlives_worker=False))
    phase = await spawner.launch(place.spec("apply", configuration, **changes), outlives_worker=True)
    result = await ended(phase)
    text = log(phase.control)
    assert result.outcome == "finished", text
    assert "raw (sensitive)" in text
    assert 'token = \\"(sensitive)\\"' in text or 'token = "(sensitive)"' in text
    for secret in (SECRET, TOKEN, base64.b64encode(SECRET.encode()).decode()[:-4]):
        assert secret not in text
    assert result.masked == text.count("(sensitive)") == 3


async def test_a_secret_in_a_host_name_is_not_written_down(place: Place, spawner: Spawner) -> None:
    host = "hunter2-secret.invalid"
    configuration = {"main.tf": f'module "x" {{ source = "https://{host}/m.zip" }}'}
    spec = place.spec("plan", configuration, secrets=("hunter2-secret",))
    phase = await spawner.launch(spec, outlives_worker=False)
    await ended(phase)
    written = (phase.control / EGRESS).read_text()
    assert json.loads(written.splitlines()[0])["host"] == "(sensitive).invalid"
    assert "hunter2-secret" not in written + (phase.control / LOG).read_text()


async def test_no_file_of_ours_holds_the_token_or_a_secret(place: Place, spawner: Spawner) -> None:
    configuration = {"main.tf": 'resource "terraform_data" "x" {}'}
    changes = {"environment": {"CLOUD_KEY": SECRET}, "secrets": (SECRET,)}
    await ended(await spawner.launch(place.spec("plan", configuration, **changes), outlives_worker=False))
    await ended(await spawner.launch(place.spec("apply", configuration, **changes), outlives_worker=True))
    files = [path for path in place.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    for path in files:
        for secret in (TOKEN, SECRET):
            assert secret.encode() not in path.read_bytes(), path


async def test_a_log_at_its_limit_ends_and_the_run_goes_on(place: Place, spawner: Spawner) -> None:
    script = "yes 日本語 | head -c 300000"
    configuration = running(script)
    await ended(await spawner.launch(place.spec("plan", configuration), outlives_worker=False))
    limits = Limits(seconds=60, log=100_000)
    phase = await spawner.launch(place.spec("apply", configuration, limits=limits), outlives_worker=True)
    result = await ended(phase)
    text = (phase.control / LOG).read_bytes()
    assert result.outcome == "finished"
    assert text.decode().endswith("reached its limit. What follows is not kept; the run itself goes on.\n")
    assert 99_990 < len(text) < 100_200
    assert result.log_length == len(text)
    assert result.state.uploaded_version


async def test_variables_that_would_break_the_cage_are_left_out_and_said(place: Place, spawner: Spawner) -> None:
    environment = {
        "HTTPS_PROXY": "http://10.0.0.1",
        "TF_WORKSPACE": "another",
        "B A D": "x",
        "MULTI": "a\nb",
        "EMPTY": "",
    }
    script = "env | grep -c -e '^EMPTY=$' -e '^MULTI=a$' -e '^b$' -e '^HTTPS_PROXY=http://127.0.0.1:3128$'"
    configuration = running(script)
    await ended(await spawner.launch(place.spec("plan", configuration, environment=environment), outlives_worker=False))
    phase = await spawner.launch(place.spec("apply", configuration, environment=environment), outlives_worker=True)
    await ended(phase)
    text = log(phase.control)
    for name in ("HTTPS_PROXY", "TF_WORKSPACE", "B A D"):
        assert f"The environment variable '{name}' was not passed on" in text
    assert "(local-exec):\x1b[0m \x1b[0m4\n" in text
