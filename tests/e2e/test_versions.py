"""A workspace whose Terraform only a mirror has: the server learns of it, downloads it, and plans with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site, plain
from tests.e2e.up import Up, eventually
from tests.services.releases import Mirror

FILES = {"main.tf": 'resource "terraform_data" "one" { input = "one" }\n'}


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    mirror = Mirror(tmp_path)
    mirror.publish("1.9.8")
    yield mirror
    mirror.close()


def test_a_version_that_only_a_mirror_has_plans(start: Callable[..., Up], mirror: Mirror) -> None:
    up = start(
        STATEROOM_DOWNLOADS="true",
        STATEROOM_TERRAFORM_RELEASES_URL=mirror.url,
        STATEROOM_RELEASE_KEYS=str(mirror.keys),
        SSL_CERT_FILE=str(mirror.ca),
    )
    site = Site(up)
    listed = "/admin/terraform-versions?filter[version]=1.9.8"
    assert eventually(lambda: bool(site.call("GET", listed))), up.said()
    workspace = site.make_workspace("old")
    site.call(
        "PATCH",
        f"/workspaces/{workspace}",
        {
            "type": "workspaces",
            "attributes": {"terraform-version": "1.9.8"},
        },
    )
    said = plain(site.start(workspace, FILES).follow("plan").whole()).decode()
    assert "Terraform v1.9.8" in said
    assert "Downloading Terraform 1.9.8..." in said
    assert "Plan: 1 to add" in said
