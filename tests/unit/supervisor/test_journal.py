from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from app.supervisor import journal as journal_module
from app.supervisor.api import Away, Declined, TokenRefused
from app.supervisor.control import JOURNAL
from app.supervisor.journal import Journal, Sender
from app.supervisor.statefile import State, Unreadable, newest_left, read_stable


def state(serial: int, *names: str, lineage: str = "the-lineage") -> bytes:
    document = {"version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage}
    document["resources"] = [{"name": name} for name in names]
    return json.dumps(document, indent=2).encode() + b"\n"


def kept(tmp_path: Path) -> tuple[Journal, Path, Path]:
    run, control = tmp_path / "run", tmp_path / "control"
    run.mkdir()
    control.mkdir()
    return (
        Journal(str(run), "terraform.tfstate", control, limit=1_000_000),
        run / "terraform.tfstate",
        control / JOURNAL,
    )


def test_a_whole_state_is_copied(tmp_path: Path) -> None:
    journal, file, copy = kept(tmp_path)
    file.write_bytes(state(3, "a"))
    journal.look()
    assert copy.read_bytes() == state(3, "a")
    assert journal.latest is not None
    assert (journal.latest.serial, journal.latest.lineage) == (3, "the-lineage")


@pytest.mark.parametrize("length", [0, 1, 40, -1, -2, -3])
def test_a_torn_state_is_not_copied_and_the_last_whole_one_stays(tmp_path: Path, length: int) -> None:
    journal, file, copy = kept(tmp_path)
    file.write_bytes(state(3, "a"))
    journal.look()
    file.write_bytes(state(4, "a", "b")[:length])
    journal.look()
    assert copy.read_bytes() == state(3, "a")
    file.write_bytes(state(5, "a", "b", "c"))
    journal.look()
    assert copy.read_bytes() == state(5, "a", "b", "c")


def test_a_state_torn_at_an_inner_brace_is_seen_to_be_torn(tmp_path: Path) -> None:
    whole = state(4, "a", "b")
    torn = whole[: whole.rindex(b"    }\n") + 6]
    assert torn.endswith(b"}\n")
    with pytest.raises(Unreadable):
        State.parse(torn)


def test_the_state_that_was_there_before_is_not_news(tmp_path: Path) -> None:
    journal, file, _ = kept(tmp_path)
    file.write_bytes(state(3, "a"))
    journal = Journal(str(file.parent), file.name, tmp_path / "control", limit=1_000_000)
    journal.look()
    assert journal.latest is None


def test_a_link_in_the_states_place_is_not_copied(tmp_path: Path) -> None:
    journal, file, copy = kept(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(state(9, "host"))
    file.symlink_to(secret)
    journal.look()
    assert not copy.exists()


def test_a_state_as_old_terraforms_write_it_is_understood() -> None:
    old = (
        b'{\n    "version": 3,\n    "terraform_version": "0.11.11",\n    "serial": 7,\n'
        b'    "lineage": "x",\n    "modules": []\n}\n'
    )
    assert State.parse(old).serial == 7
    assert State.parse(b'{"serial": 8, "lineage": "y"}').lineage == "y"


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b'{"serial": "x"}', b"{", b'{"lineage": "x"}', b"\xff\xfe"])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        State.parse(data)


def test_too_much_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(state(1, "a"))
    assert read_stable(tmp_path, "file", limit=10) is None


def test_of_two_left_states_the_further_counts(tmp_path: Path) -> None:
    control, run = tmp_path / "control", tmp_path / "run"
    control.mkdir()
    (run / "default.tfstate").parent.mkdir()
    assert newest_left(control, str(run), "default") == (None, None)
    (control / JOURNAL).write_bytes(state(4))
    (run / "default.tfstate").write_bytes(state(5))
    assert newest_left(control, str(run), "default")[1] == str(run / "default.tfstate")
    (run / "default.tfstate").write_bytes(state(6)[:-2])
    assert newest_left(control, str(run), "default")[1] == str(control / JOURNAL)


class Api:
    """Answers one call after the other as it is told."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []
        self.done = threading.Event()

    def save(self, workspace: str, state: State, *, intermediate: bool) -> str:
        self._answer(f"save {state.serial} {intermediate}")
        return "sv-1"

    def sign_of_life(self, workspace: str) -> None:
        self._answer("sign of life")

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        answer = self.answers.pop(0) if self.answers else None
        if not self.answers:
            self.done.set()
        if answer is not None:
            raise answer


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SNAPSHOT_SECONDS", "LIFE_SECONDS", "FIRST_RETRY", "LAST_RETRY", "LOOK_SECONDS"):
        monkeypatch.setattr(journal_module, name, 0.01)


def send(journal: Journal, api: Api) -> tuple[Sender, list[str]]:
    refused: list[str] = []
    sender = Sender(api, "ws-1", lambda: refused.append("refused"))  # type: ignore[arg-type]
    journal.send(sender)
    assert api.done.wait(10)
    journal.stop()
    return sender, refused


@pytest.mark.usefixtures("soon")
def test_a_sign_of_life_is_given_while_nothing_changes(tmp_path: Path) -> None:
    journal, _, _ = kept(tmp_path)
    api = Api(None, None, None)
    sender, _ = send(journal, api)
    assert set(api.calls) == {"sign of life"}
    assert sender.snapshots == 0


@pytest.mark.usefixtures("soon")
def test_the_newest_state_is_sent_once_as_an_intermediate_one(tmp_path: Path) -> None:
    journal, file, _ = kept(tmp_path)
    file.write_bytes(state(3, "a"))
    journal.look()
    api = Api(None, None)
    sender, _ = send(journal, api)
    assert api.calls[0] == "save 3 True"
    assert set(api.calls[1:]) == {"sign of life"}
    assert sender.snapshots == 1


@pytest.mark.usefixtures("soon")
def test_an_api_that_is_away_is_asked_again(tmp_path: Path) -> None:
    journal, file, _ = kept(tmp_path)
    file.write_bytes(state(3, "a"))
    journal.look()
    api = Api(Away("away"), Away("away"), None)
    sender, refused = send(journal, api)
    assert api.calls[:3] == ["save 3 True"] * 3
    assert (sender.snapshots, refused) == (1, [])


@pytest.mark.usefixtures("soon")
def test_a_declined_snapshot_is_not_offered_without_end_and_life_goes_on(tmp_path: Path) -> None:
    journal, _, _ = kept(tmp_path)
    api = Api(Declined("no"), None, None)
    _, refused = send(journal, api)
    assert refused == []
    assert len(api.calls) >= 3


@pytest.mark.usefixtures("soon")
def test_a_refused_token_is_told_once_and_ends_the_sending(tmp_path: Path) -> None:
    journal, _, _ = kept(tmp_path)
    api = Api(TokenRefused("gone"))
    _, refused = send(journal, api)
    assert refused == ["refused"]
    assert len(api.calls) == 1
