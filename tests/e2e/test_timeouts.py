"""The limit of an organization, met by a real apply."""

from __future__ import annotations

from tests.e2e.site import Site, plain
from tests.e2e.test_cancels import ENDLESS, attributes, made
from tests.e2e.up import Up


def test_an_apply_that_takes_too_long_says_so_and_keeps_what_it_made(server: Up) -> None:
    site = Site(server)
    workspace = site.make_workspace("too-long")
    run = site.start(workspace, ENDLESS)
    run.wait("planned")
    limit(site, "8s")
    try:
        run.confirm()
        assert run.ends() == "errored"
    finally:
        limit(site, None)
    said = plain(run.follow("apply").whole()).decode()
    for text in (said, attributes(run)["failure"]):
        assert "This apply took longer than it may, 8 s, and was interrupted. If it needs more time, raise" in text
        assert "STATEROOM_APPLY_TIMEOUT, or the organization's apply-timeout" in text
    assert "step0" in made(site, workspace)
    assert site.is_locked(workspace) is False


def limit(site: Site, apply_timeout: str | None) -> None:
    sent = {"type": "organizations", "attributes": {"apply-timeout": apply_timeout}}
    site.call("PATCH", "/admin/organizations/main", sent)
