"""A person with a browser watches a run of a stock terraform: with JavaScript and without."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from app.cli import env, processes
from tests.e2e.up import Up, eventually, furnished
from tests.github import fake as github

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
#: Says a line each second while it is applied, so that a page can be seen half-way.
CONFIGURATION = """
terraform {
  backend "remote" {
    hostname     = "%(host)s"
    organization = "main"
    workspaces { name = "%(workspace)s" }
  }
}
resource "terraform_data" "one" {
  input = "<script>document.title = 'owned'</script>"
  provisioner "local-exec" { command = "for i in 1 2 3 4 5; do echo \\"<b>step $i</b>\\"; sleep 1; done" }
}
"""

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists() and "CI" not in os.environ, reason="there is no chromium on this machine"
)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[Up]:
    data = furnished(tmp_path_factory.mktemp("browser") / "data", migrated_database)
    up = Up(data, STATEROOM_WEBHOOK_URL="https://stateroom.example")
    yield up.wait_until_ready()
    up.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def signed_in(chromium: Browser, up: Up, **options: object) -> Page:
    """A browser in which the admin is signed in, by a link as `stateroom up` prints it."""
    context: BrowserContext = chromium.new_context(ignore_https_errors=True, **options)  # type: ignore[arg-type]
    page = context.new_page()
    made = subprocess.run(
        [*processes.COMMAND, "user", "login-link", "--data", str(up.data)],
        env={**os.environ, **processes.python_path()},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    page.goto(made.stdout.strip())
    page.get_by_role("button", name="Sign in").click()
    page.goto(up.url + "/app")
    return page


@contextmanager
def apply(up: Up, directory: Path) -> Iterator[str]:
    """A `terraform apply` whose question nobody answers; gives its run's address."""
    directory.mkdir(exist_ok=True)
    (directory / "main.tf").write_text(CONFIGURATION % {"host": up.host, "workspace": directory.parent.name})
    up.must(directory, "init", "-input=false")
    said = directory / "said"
    with said.open("wb") as output:
        terraform = subprocess.Popen(
            ["terraform", "apply", "-no-color"],
            cwd=directory,
            env={**os.environ, **env.variables(up.data)},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        assert eventually(lambda: "/runs/run-" in said.read_text()), said.read_text()
        yield next(line.strip() for line in said.read_text().splitlines() if "/runs/run-" in line)
    finally:
        terraform.kill()
        terraform.communicate()


def complaints(page: Page) -> list[str]:
    """What the browser's console complains of from now on: errors of scripts, breaches of the content policy."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def hide(page: Page, *, hidden: bool) -> None:
    """Let the page believe that its tab was left, or is seen again."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def lines(page: Page, name: str) -> list[str]:
    ids: list[str] = page.eval_on_selector_all(f"#stage-{name} .ln", "lines => lines.map(line => line.id)")
    return ids


def test_a_run_is_watched_confirmed_and_seen_to_its_end(up: Up, chromium: Browser, tmp_path: Path) -> None:
    page = signed_in(chromium, up)
    found = complaints(page)
    with apply(up, tmp_path / "configuration") as address:
        page.goto(address)
        expect(page.locator("#status")).to_have_text("Needs Confirmation", timeout=60_000)
        expect(page.locator("#stage-plan")).to_contain_text("<script>document.title = 'owned'</script>")
        page.get_by_role("link", name="Confirm & Apply…").click()
        page.get_by_label("Comment").fill("go on")
        page.get_by_role("button", name="Confirm & Apply").click()
        expect(page.locator("#lines-apply")).to_contain_text("<b>step 2</b>", timeout=60_000)
        expect(page.locator("#status")).to_have_text("Applying")
        assert "step 5" not in (page.locator("#lines-apply").text_content() or "")
        hide(page, hidden=True)  # lets go of the stream, which goes on where it stopped
        hide(page, hidden=False)
        expect(page.locator("#status")).to_have_text("Applied", timeout=60_000)
    expect(page.locator("#timeline")).to_contain_text("admin confirmed")
    expect(page.locator("#head-apply")).to_contain_text("1 added, 0 changed, 0 destroyed")
    assert page.title().startswith("Applied · ")
    seen = {name: lines(page, name) for name in ("plan", "apply")}
    page.reload()
    assert seen == {name: lines(page, name) for name in ("plan", "apply")}
    assert seen["apply"] == [f"apply-L{number}" for number in range(1, len(seen["apply"]) + 1)]
    assert found == []


def test_a_run_is_watched_and_discarded_without_javascript(up: Up, chromium: Browser, tmp_path: Path) -> None:
    page = signed_in(chromium, up, java_script_enabled=False)
    with apply(up, tmp_path / "configuration") as address:
        page.goto(address)
        # The page loads itself again.
        expect(page.locator("#status")).to_have_text("Needs Confirmation", timeout=60_000)
        expect(page.locator("#stage-plan")).to_contain_text("<script>document.title = 'owned'</script>")
        page.get_by_role("link", name="Discard Run…").click()
        page.get_by_role("button", name="Discard Run").click()
        expect(page.locator("#status")).to_have_text("Discarded")
    page.locator("#head-plan").click()
    expect(page.locator("#stage-plan .ln").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(up: Up, chromium: Browser, tmp_path: Path, scheme: str) -> None:
    page = signed_in(chromium, up, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    found = complaints(page)
    with apply(up, tmp_path / "configuration") as address:
        for path in (address, address.rpartition("/runs/")[0], up.url + "/app/main", up.url + "/app/settings/tokens"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert found == []


def test_an_empty_organization_moves_on_with_the_first_init(up: Up, chromium: Browser, tmp_path: Path) -> None:
    page = signed_in(chromium, up)
    subprocess.run(
        [*processes.COMMAND, "org", "create", "fresh", "--owner", "admin", "--data", str(up.data)],
        env={**os.environ, **processes.python_path()},
        check=True,
        capture_output=True,
        timeout=60,
    )
    page.goto(up.url + "/app/fresh")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect your Terraform")
    up.must(up.configure(tmp_path / "first", "first", "fresh"), "init", "-input=false")
    expect(page.get_by_role("heading", level=1)).to_have_text("Workspaces", timeout=30_000)


def test_a_github_app_is_made_by_two_forms_and_a_button(up: Up, chromium: Browser) -> None:
    page = signed_in(chromium, up)
    found = complaints(page)
    with github.serving() as there:
        page.goto(up.url + "/app/settings/vcs/github")
        page.get_by_role("link", name="Make a GitHub App").click()
        page.get_by_role("textbox", name="GitHub").fill(there.url)
        page.get_by_role("textbox", name="Organization").fill("acme-hub")
        page.get_by_role("textbox", name="Name", exact=True).fill("Stateroom acme")
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Create the app at").click()
        page.get_by_role("button", name="Create GitHub App").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("stateroom-acme")
        expect(page.get_by_role("heading", name="GitHub has not reached this server yet")).to_be_visible()
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert found == []


def test_a_stop_of_the_server_does_not_wait_for_who_watches(
    chromium: Browser, tmp_path: Path, migrated_database: Path
) -> None:
    up = Up(furnished(tmp_path / "data", migrated_database)).wait_until_ready()
    try:
        page = signed_in(chromium, up)
        with apply(up, tmp_path / "configuration") as address:
            page.goto(address)
            expect(page.locator("#status")).to_have_text("Needs Confirmation", timeout=60_000)
        assert up.stop() == 0
        assert "graceful shutdown exceeded" not in up.said()
    finally:
        up.end()
