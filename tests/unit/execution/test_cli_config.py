"""Terraform's own configuration file: who the server is, and where providers come from."""

from __future__ import annotations

from pathlib import Path

from app.execution import cli_config
from app.execution.cli_config import Mirror, this_platform


def text(mirrors: list[Mirror], *, direct: bool = True) -> str:
    return cli_config.text(
        token="secret-token",
        base_url="http://stateroom.internal",
        names=cli_config.names_of("https://tfe.example.com", "https://localhost:8443", "https://tfe.example.com:443"),
        mirrors=mirrors,
        direct=direct,
    )


def test_every_name_of_the_server_has_its_services_and_the_token() -> None:
    made = text([])
    for name in ("stateroom.internal", "tfe.example.com", "localhost:8443"):
        assert made.count(f'host "{name}" {{') == 1
        assert f'credentials "{name}" {{\n  token = "secret-token"' in made
    assert '"modules.v1" = "http://stateroom.internal/api/registry/v1/modules/"' in made


def test_a_mirror_that_is_not_there_is_not_listed(tmp_path: Path) -> None:
    made = text([Mirror(tmp_path / "missing", "/stateroom/mirror")])
    assert "filesystem_mirror" not in made
    assert "direct {}" in made


def test_what_a_mirror_has_is_never_asked_of_a_registry(tmp_path: Path) -> None:
    (tmp_path / "registry.terraform.io/hashicorp/null/3.2.0/linux_amd64").mkdir(parents=True)
    made = text([Mirror(tmp_path, "/stateroom/mirror")])
    assert 'path = "/stateroom/mirror"' in made
    assert 'exclude = ["registry.terraform.io/hashicorp/null"]' in made


def test_a_site_may_install_from_its_mirror_alone(tmp_path: Path) -> None:
    assert "direct" not in text([Mirror(tmp_path, "/stateroom/mirror")], direct=False)


def test_providers_in_the_old_layout_are_laid_out_in_the_new_one(tmp_path: Path) -> None:
    plugins = tmp_path / "root/terraform.d/plugins"
    (plugins / "linux_amd64").mkdir(parents=True)
    (plugins / "linux_amd64/terraform-provider-null_v2.1.2_x4").write_bytes(b"null")
    (plugins / "terraform-provider-my-own_v0.1.0").write_bytes(b"own")
    (plugins / "README.md").write_bytes(b"")
    (plugins / "terraform-provider-link_v1.0.0").symlink_to("/etc/shadow")
    mirror = tmp_path / "mirror"
    assert cli_config.lay_old_plugins(tmp_path / "root", mirror)
    found = {str(path.relative_to(mirror)) for path in mirror.rglob("*") if path.is_file()}
    assert found == {
        "registry.terraform.io/hashicorp/null/2.1.2/linux_amd64/terraform-provider-null_v2.1.2_x4",
        f"registry.terraform.io/hashicorp/my-own/0.1.0/{this_platform()}/terraform-provider-my-own_v0.1.0",
    }


def test_without_old_plugins_there_is_no_mirror(tmp_path: Path) -> None:
    assert not cli_config.lay_old_plugins(tmp_path, tmp_path / "mirror")
    assert not (tmp_path / "mirror").exists()
