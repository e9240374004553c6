from __future__ import annotations

from pathlib import Path

import pytest

from app import settings


@pytest.mark.parametrize("by_file", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "postgres://someone:word@db.example.com/stateroom"),
        ("objects_url", "s3://bucket/prefix"),
        ("redis_url", "redis://127.0.0.1:6379/0"),
        ("metrics_token", "123456"),
        ("keys", '{"active": "k1", "keys": {}}'),
    ],
)
def test_a_secret_is_taken_as_it_is_written(
    name: str, value: str, by_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"STATEROOM_{name.upper()}"
    if by_file:
        (tmp_path / "secret").write_text(value + "\n")
        monkeypatch.setenv(variable + "_FILE", str(tmp_path / "secret"))
    else:
        monkeypatch.setenv(variable, value)
    assert getattr(settings.Settings(), name).reveal() == value
