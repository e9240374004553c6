"""Settings come from their sources, and a wrong one is told by its name with the remedy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import settings
from app.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name.startswith(settings.PREFIX):
            monkeypatch.delenv(name)
    yield
    monkeypatch.setattr(settings, "_current", None)


def test_with_nothing_set_everything_lies_in_the_data_directory(tmp_path: Path) -> None:
    found = settings.load(data_dir=tmp_path)
    assert settings.current() is found
    assert found.database_url.reveal() == f"sqlite://{tmp_path}/stateroom.sqlite3"
    assert found.objects_url.reveal() == f"file://{tmp_path}/objects"
    assert (found.tools_dir, found.mirror_dir) == (tmp_path / "tools", tmp_path / "mirror")
    assert (found.external_url, found.internal_url) == ("https://localhost:8443",) * 2
    assert found.redis_url is None
    assert found.organization_cap is None
    assert found.worker_slots >= 1


def test_a_relative_data_directory_does_not_move_with_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.load(data_dir="here").data_dir == tmp_path / "here"


def test_the_internal_url_is_the_external_one_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATEROOM_EXTERNAL_URL", "https://tf.example.com/")
    assert settings.load().internal_url == "https://tf.example.com"
    monkeypatch.setenv("STATEROOM_INTERNAL_URL", "http://web:8443")
    assert settings.load().internal_url == "http://web:8443"
    assert settings.load(tls=False, port=80, external_url=None).external_url == "http://localhost:80"


def test_arguments_go_before_the_environment_before_a_secrets_file_before_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text('port = 1\nhost = "::1"\nredis_url = "redis://toml"\negress_allow = ["a", "b"]\n')
    (tmp_path / "redis").write_text("redis://file\n")
    monkeypatch.setenv("STATEROOM_CONFIG", str(tmp_path / "c.toml"))
    assert (settings.load().port, settings.load().host, settings.load().egress_allow) == (1, "::1", ("a", "b"))
    monkeypatch.setenv("STATEROOM_REDIS_URL_FILE", str(tmp_path / "redis"))
    monkeypatch.setenv("STATEROOM_PORT", "2")
    found = settings.load()
    assert found.redis_url is not None
    assert (found.port, found.redis_url.reveal()) == (2, "redis://file")
    monkeypatch.setenv("STATEROOM_REDIS_URL", "redis://environment")
    found = settings.load(port=3)
    assert found.redis_url is not None
    assert (found.port, found.redis_url.reveal()) == (3, "redis://environment")


def test_sizes_and_lists_are_written_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATEROOM_MAX_STATE", "2 GiB")
    monkeypatch.setenv("STATEROOM_EGRESS_ALLOW", "a.example, 10.0.0.0/8,b.example:443")
    found = settings.load()
    assert found.max_state == 2 * 1024**3
    assert found.egress_allow == ("a.example", "10.0.0.0/8", "b.example:443")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "many", "valid integer"),
        ("PORT", "70000", "65535"),
        ("SANDBOX", "docker", "'bwrap' or 'none'"),
        ("WORKER_SLOTS", "0", "greater than or equal to 1"),
        ("EXTERNAL_URL", "localhost", "must begin with https://"),
        ("MAX_STATE", "big", "byte"),
        ("LEASE_RENEW", "-1", "greater than 0"),
        ("LEASE_STOP", "20", "STATEROOM_LEASE_EXPIRE"),
        ("TLS_CERTIFICATE", "/cert.pem", "STATEROOM_TLS_KEY"),
    ],
)
def test_a_wrong_value_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"STATEROOM_{name}", value)
    with pytest.raises(SettingsError) as raised:
        settings.load()
    assert says in raised.value.sentence
    assert f"STATEROOM_{name}" in raised.value.sentence


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "tf.example.com"])
def test_clear_text_beyond_loopback_is_refused_with_the_ways_out(host: str) -> None:
    with pytest.raises(SettingsError, match="STATEROOM_BEHIND_PROXY"):
        settings.load(host=host, tls=False)
    assert settings.load(host=host, tls=False, behind_proxy=True).host == host
    assert settings.load(host=host).host == host


def test_a_broken_or_missing_configuration_says_which_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATEROOM_CONFIG", str(tmp_path / "c.toml"))
    with pytest.raises(SettingsError, match=r"c\.toml, which cannot be read"):
        settings.load()
    (tmp_path / "c.toml").write_text("port = ")
    with pytest.raises(SettingsError, match="not valid TOML"):
        settings.load()
    (tmp_path / "c.toml").write_text("prot = 1")
    with pytest.raises(SettingsError, match="'prot', which is no setting"):
        settings.load()


def test_a_secrets_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATEROOM_METRICS_TOKEN_FILE", "/nowhere/token")
    with pytest.raises(SettingsError, match="STATEROOM_METRICS_TOKEN_FILE names /nowhere/token"):
        settings.load()


def test_secrets_are_in_neither_print_nor_dump_nor_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATEROOM_DATABASE_URL", "postgres://me:hunter2@db/x")
    found = settings.load()
    assert "hunter2" not in repr(found) + str(found) + found.model_dump_json()
    assert "hunter2" in found.database_url.reveal()
    monkeypatch.setenv("STATEROOM_PORT", "hunter2")
    with pytest.raises(SettingsError) as raised:
        settings.load()
    assert "hunter2" not in raised.value.sentence


def test_a_misspelt_variable_can_be_found() -> None:
    environment = {"STATEROOM_PROT": "1", "STATEROOM_PORT": "1", "STATEROOM_KEYS_FILE": "/k", "STATEROOM_CONFIG": "c"}
    assert settings.unknown(environment | {"STATEROOM_PORT_FILE": "x", "HOME": "/"}) == [
        "STATEROOM_PORT_FILE",
        "STATEROOM_PROT",
    ]


def test_a_misspelt_variable_is_told_with_what_may_have_been_meant() -> None:
    assert settings.misspelt({"STATEROOM_PORT": "1", "HOME": "/"}) is None
    told = settings.misspelt({"STATEROOM_WORKER_SLOT": "4", "STATEROOM_ELEPHANT": "1"})
    assert told is not None
    assert "STATEROOM_ELEPHANT, STATEROOM_WORKER_SLOT (did you mean STATEROOM_WORKER_SLOTS?)" in told


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
