"""Who somebody is at GitHub, and what that lets them link: shown by signing in there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.access.actors import SYSTEM, Actor
from app.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from app.organizations.models import Organization
from app.vcs import installations as usable
from app.vcs.models import Connection, InstallationLink
from github_app import accounts, linking
from github_app.accounts import Proof
from github_app.models import GitHubApp, LinkedAccount
from tests import factories
from tests.integration.github.scene import Scene, scene

__all__ = ["scene"]

#: Nothing here depends on the parts.
pytestmark = pytest.mark.parametrize("parts", ["embedded"], indirect=True)
VERIFIER = "what only the page knows, of at least 43 characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "https://stateroom.example/auth/github/callback"


class People:
    """alice is in the scene's organization, mallory in one of her own."""

    def __init__(self, scene: Scene, alice: Actor, mallory: Actor, root: Actor, other: Organization) -> None:
        self.scene, self.alice, self.mallory, self.root, self.other = scene, alice, mallory, root, other

    def code(self, login: str) -> str:
        return self.scene.github.sign_in(self.scene.installed.app, login, redirect_uri=BACK, challenge=CHALLENGE)

    async def prove(self, actor: Actor, login: str) -> Proof:
        return await accounts.prove(actor, self.scene.app, self.code(login), redirect_uri=BACK, verifier=VERIFIER)

    def joins(self, login: str) -> None:
        self.scene.github.members.setdefault(self.scene.installed.account.login, set()).add(login)


@pytest.fixture
async def people(scene: Scene) -> AsyncIterator[People]:
    alice, mallory = await factories.make_user("alice"), await factories.make_user("mallory")
    root = await factories.make_user("root", is_site_admin=True)
    scene.organization = await factories.make_organization("ours", owner=alice)
    other = await factories.make_organization("other", owner=mallory)
    actors = [await factories.actor_of(one) for one in (alice, mallory, root)]
    yield People(scene, actors[0], actors[1], actors[2], other)
    scene.github.members.clear()


async def test_a_code_shows_who_somebody_is_and_nothing_of_it_is_kept(people: People) -> None:
    scene = people.scene
    people.joins("alice-hub")
    url = urlsplit(accounts.authorization_url(scene.app, state="s t", redirect_uri=BACK, challenge=CHALLENGE))
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{scene.github.url}/login/oauth/authorize"
    told = dict(parse_qsl(url.query))
    assert (told["client_id"], told["state"]) == (scene.installed.app.client_id, "s t")
    assert (told["redirect_uri"], told["code_challenge"], told["code_challenge_method"]) == (BACK, CHALLENGE, "S256")
    elsewhere = scene.github.add_app(next(scene.github.numbers)).install(scene.installed.account.login)
    proof = await people.prove(people.alice, "alice-hub")
    assert (proof.login, proof.number) == ("alice-hub", scene.github.account("alice-hub").number)
    assert proof.installations == {scene.installed.number}
    assert elsewhere.number not in proof.installations
    row = await GitHubApp.get(id=scene.app.id)
    (token,) = [text for text, one in scene.github.user_tokens.items() if one.account.login == "alice-hub"]
    assert token not in repr(vars(row)) + repr(proof)
    with pytest.raises(TypeError):
        Proof(scene.app.id, people.alice.id or "", 1, "octocat", frozenset(), object())


async def test_what_github_does_not_take_says_what_to_do(people: People) -> None:
    scene = people.scene

    async def prove(code: str, redirect_uri: str = BACK, verifier: str = VERIFIER) -> None:
        await accounts.prove(people.alice, scene.app, code, redirect_uri=redirect_uri, verifier=verifier)

    used = people.code("alice-hub")
    await prove(used)
    for code, more in ((used, {}), ("", {}), ("x" * 9999, {}), (people.code("a"), {"verifier": "another"})):
        with pytest.raises(Invalid, match="Sign in at GitHub again"):
            await prove(code, **more)
    with pytest.raises(Invalid, match="MUST match"):
        await prove(people.code("a"), redirect_uri="https://evil.example")
    scene.github.fail(502, "/login/oauth")
    with pytest.raises(Unavailable):
        await prove(people.code("a"))
    with pytest.raises(Forbidden):
        await people.prove(SYSTEM, "alice-hub")
    await GitHubApp.filter(id=scene.app.id).update(sealed_client_secret=None)
    scene.app = await GitHubApp.get(id=scene.app.id)
    with pytest.raises(Invalid, match="client secret is not known"):
        await prove(people.code("a"))


async def test_an_account_is_of_the_user_who_proved_it_last(people: People) -> None:
    app = people.scene.app
    proof = await people.prove(people.alice, "alice-hub")
    for _ in range(2):
        assert (await accounts.link(people.alice, proof)).login == "alice-hub"
    with pytest.raises(Forbidden):
        await accounts.link(people.mallory, proof)
    await accounts.link(people.alice, await people.prove(people.alice, "alice-work"))
    assert [one.login for one in await accounts.of(people.alice)] == ["alice-work"]
    await accounts.link(people.mallory, await people.prove(people.mallory, "alice-work"))
    assert await accounts.of(people.alice) == []
    assert await LinkedAccount.filter(app_id=app.id).count() == 1
    await accounts.unlink(people.mallory, app.id)
    assert await accounts.of(people.mallory) == []
    with pytest.raises(Forbidden):
        await accounts.of(SYSTEM)


async def test_an_installation_is_linked_with_a_proof_or_by_a_site_admin(people: People) -> None:
    scene, installation = people.scene, people.scene.installation
    foreign = await people.prove(people.mallory, "mallory-hub")
    with pytest.raises(Forbidden, match="mallory-hub does not see the installation"):
        await linking.link(people.mallory, installation, people.other, foreign)
    with pytest.raises(NotFound):
        await linking.link(people.mallory, installation, people.other)
    people.joins("alice-hub")
    proof = await people.prove(people.alice, "alice-hub")
    with pytest.raises(Forbidden, match="Somebody else"):
        await linking.link(people.mallory, installation, people.other, proof)
    with pytest.raises(NotFound):
        await linking.link(people.alice, installation, people.other, proof)
    assert await InstallationLink.all().count() == 0

    made = await linking.link(people.alice, installation, scene.organization, proof)
    again = await linking.link(people.alice, installation, scene.organization, proof)
    assert (again.id, made.linked_by_id) == (made.id, people.alice.id)
    assert [one.id for one in await (await usable.visible(people.alice))] == [installation.id]
    assert not await usable.is_for_everyone(made)  # she may see one repository of it, and there is another organization
    with pytest.raises(NotFound):
        await linking.let_everyone(people.alice, made, True)
    await linking.let_everyone(people.root, made, None)
    assert await usable.is_for_everyone(made)
    await linking.link(people.root, installation, people.other)
    assert not await usable.is_for_everyone(made)
    await linking.let_everyone(people.root, made, True)
    assert await usable.is_for_everyone(made)
    assert (await GitHubApp.get(id=scene.app.id)).refreshed_at is None


async def test_an_installation_is_unlinked_once_nobody_follows_through_it(people: People) -> None:
    scene, installation = people.scene, people.scene.installation
    await linking.link(people.root, installation, scene.organization)
    workspace = await scene.follow("network")
    with pytest.raises(Conflict, match="1 workspace follows a repository"):
        await linking.unlink(people.alice, installation, scene.organization)
    with pytest.raises(NotFound):
        await linking.unlink(people.mallory, installation, scene.organization)
    await Connection.filter(workspace_id=workspace.id).delete()
    await linking.unlink(people.alice, installation, scene.organization)
    assert await InstallationLink.all().count() == 0
    await linking.unlink(people.root, installation, scene.organization)
    await installation.refresh_from_db()
    installation.deleted_at = installation.created_at
    with pytest.raises(Conflict, match="was uninstalled"):
        await linking.link(people.root, installation, scene.organization)


async def test_where_organizations_share_an_installation_each_connects_what_its_people_may_read(people: People) -> None:
    scene, there = people.scene, people.scene.there
    for organization in (scene.organization, people.other):
        await linking.link(people.root, scene.installation, organization)
    network = await factories.make_workspace(scene.organization, "network")
    name = {"identifier": there.full_name, "installation_id": scene.installation.id}
    assert await usable.repository_names(scene.organization.id, 10) == []

    with pytest.raises(Invalid, match="link your GitHub account"):
        await factories.connect(people.alice, network, **name)
    await accounts.link(people.alice, await people.prove(people.alice, "alice-hub"))
    scene.there.collaborators.pop("alice-hub", None)
    refused = []
    for wanted in (there.full_name, "no/such"):
        with pytest.raises(Invalid) as refusal:
            await factories.connect(people.alice, network, **{**name, "identifier": wanted})
        refused.append(refusal.value.sentence.replace(wanted, ""))
    assert refused[0] == refused[1]
    scene.github.fail(502, "/collaborators/")
    with pytest.raises(Unavailable):
        await factories.connect(people.alice, network, **name)
    assert await Connection.all().count() == 0

    scene.there.collaborators["alice-hub"] = "read"
    await factories.connect(people.alice, network, **name)
    scene.there.collaborators.pop("alice-hub")
    await factories.connect(people.alice, network, **name, branch="stable")  # the same, sent again, is no new wish
    mine = await InstallationLink.get(organization_id=scene.organization.id)
    await linking.let_everyone(people.root, mine, True)
    assert await usable.repository_names(scene.organization.id, 10) == [there.full_name]
    await factories.connect(people.alice, await factories.make_workspace(scene.organization, "second"), **name)
    foreign = await factories.make_workspace(people.other, "theirs")
    with pytest.raises(Invalid, match="link your GitHub account"):
        await factories.connect(people.mallory, foreign, **name)
