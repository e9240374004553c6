from __future__ import annotations

from pathlib import Path

import pytest

from app.cli import docs
from app.settings import Settings


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    return tmp_path


def test_every_setting_is_documented() -> None:
    text = docs.settings()
    for name, field in Settings.model_fields.items():
        assert f"### `STATEROOM_{name.upper()}`" in text
        assert field.description, name


def test_what_was_just_written_is_fresh(checkout: Path) -> None:
    docs.write()
    assert docs.check() == 0


@pytest.mark.parametrize("name", ["settings.md", "runs.md", "variables.md"])
def test_a_page_that_the_code_would_write_otherwise_is_stale(checkout: Path, name: str) -> None:
    docs.write()
    page = checkout / "docs" / name
    page.write_text(
        page.read_text().replace("planning", "pondering").replace("8443", "8444").replace("priority set", "set")
    )
    assert docs.check() == 1


def test_what_people_wrote_around_the_diagram_is_kept(checkout: Path) -> None:
    page = checkout / "docs" / "runs.md"
    page.parent.mkdir()
    page.write_text(f"# Runs\n\nBefore.\n\n{docs.BEGIN}\nold\n{docs.END}\n\nAfter.\n")
    docs.write()
    text = page.read_text()
    assert text.startswith("# Runs\n\nBefore.\n\n")
    assert text.endswith("\n\nAfter.\n")
    assert "planning --> planned: finish" in text
    assert "old" not in text
