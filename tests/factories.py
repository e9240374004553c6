"""Things to test with.  Each takes only what the test is about and invents the rest."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

from app import access, clock, configurations, ids, organizations, projects, runs, states, variables, workspaces
from app.access import tokens
from app.access.actors import SYSTEM, Actor
from app.access.models import User
from app.configurations.models import ConfigurationVersion
from app.jobs import claims
from app.jobs.claims import Claimed
from app.jobs.models import Job
from app.organizations.models import Organization
from app.projects.models import Project
from app.runs import RunOptions, moves, triggers
from app.runs.models import Plan, Run, RunTrigger
from app.secret import Secret
from app.states import NewState
from app.states.models import StateVersion
from app.variables.models import Variable
from app.vcs import connections
from app.vcs.models import Installation, InstallationLink, Repository
from app.workspaces.models import Workspace

_numbers = itertools.count(1)


async def make_user(username: str | None = None, **given: Any) -> User:
    return await access.create_user(SYSTEM, username or f"user{next(_numbers)}", **given)


async def make_token(user: User) -> str:
    """The text of a fresh token."""
    _, text = await tokens.create(SYSTEM, user)
    return text.reveal()


async def make_organization(name: str | None = None, *, owner: User | None = None) -> Organization:
    return await organizations.create(SYSTEM, name or f"org{next(_numbers)}", owner=owner)


async def make_project(organization: Organization | None = None, name: str | None = None) -> Project:
    organization = organization or await make_organization()
    return await projects.create(SYSTEM, organization, name or f"project {next(_numbers)}")


async def make_workspace(
    organization: Organization | None = None,
    name: str | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    **given: Any,
) -> Workspace:
    organization = organization or await make_organization()
    given.setdefault("terraform_version", "1.11.4")
    return await workspaces.create(
        SYSTEM, organization, name or f"workspace{next(_numbers)}", tag_bindings=tags, **given
    )


async def make_variable(workspace: Workspace, key: str = "region", value: str = "eu", **given: Any) -> Variable:
    wanted = variables.Change(key=key, value=Secret(value), **{"category": "terraform", **given})
    return await variables.create(SYSTEM, workspace, wanted)


async def make_configuration_version(
    workspace: Workspace | None = None, *, files: Mapping[str, str] | None = None, **given: Any
) -> ConfigurationVersion:
    """A version that has its archive: *files*, or a configuration of one resource."""
    workspace = workspace or await make_workspace()
    version = await configurations.create(SYSTEM, workspace, **given)
    return await configurations.receive(version.id, chunks(archive(files)))


async def actor_of(user: User) -> Actor:
    return await tokens.actor_of(user)


def archive(files: Mapping[str, str | bytes] | None = None) -> bytes:
    """A gzip tar of *files*, packed as quickly as terraform does; what is given as bytes is a program.

    The same files make the same bytes, whenever they are packed.
    """
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as zipped:
        _fill(zipped, files or {"main.tf": 'resource "terraform_data" "one" {}\n'})
    return packed.getvalue()


def _fill(zipped: gzip.GzipFile, files: Mapping[str, str | bytes]) -> None:
    with tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, given in files.items():
            content = given.encode() if isinstance(given, str) else given
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644 if isinstance(given, str) else 0o755
            tar.addfile(entry, io.BytesIO(content))


async def chunks(content: bytes, length: int = 64 * 1024) -> AsyncIterator[bytes]:
    for at in range(0, len(content), length):
        yield content[at : at + length]


async def make_run(
    workspace: Workspace | None = None,
    *,
    actor: Actor = SYSTEM,
    configuration_version: ConfigurationVersion | None = None,
    **given: Any,
) -> Run:
    """A run of *workspace*, with a configuration of its own if none is given; *given* are `RunOptions`.

    `speculative=True` gives it a speculative configuration.
    """
    workspace = workspace or await make_workspace()
    speculative = given.pop("speculative", False)
    version = configuration_version or await make_configuration_version(workspace, speculative=speculative)
    return await runs.create(actor, workspace, version, RunOptions(**given))


async def take_job(worker: str = "wrk-test") -> Claimed:
    """The next job there is, taken by a worker that has every Terraform a test names."""
    waiting = await Job.filter(closed_at=None, worker_id=None).values_list("terraform_version", flat=True)
    claimed = await claims.claim(worker, {f"terraform/{version}" for version in waiting})
    assert claimed is not None
    return claimed


async def plan(run: Run, *, changes: bool = True) -> Run:
    """Carry *run*'s plan out without a worker: its job is taken, its log closed."""
    claimed = await take_job()
    assert claimed.job.run_id == run.id
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    await moves.move(run, "finish", claim=claimed.claim, has_changes=changes)
    await Plan.filter(run_id=run.id).update(log_closed_at=clock.now())
    await claims.close(claimed.claim)
    return run


async def apply(run: Run) -> Run:
    """Carry out *run*, which applies by itself, to its end without a worker."""
    await plan(run)
    claimed = await take_job()
    assert (claimed.job.run_id, claimed.job.phase) == (run.id, "apply")
    await run.refresh_from_db()
    await moves.move(run, "start", claim=claimed.claim)
    await moves.move(run, "finish", claim=claimed.claim)
    await claims.close(claimed.claim)
    return run


async def make_state(workspace: Workspace, serial: int = 1) -> StateVersion:
    """An empty state, current from now."""
    content = json.dumps({"version": 4, "serial": serial, "lineage": "l", "outputs": {}, "resources": []}).encode()
    version = await states.create(SYSTEM, workspace, NewState(serial, hashlib.md5(content).hexdigest(), "l"))
    await states.receive(version.id, chunks(content))
    return await StateVersion.get(id=version.id)


async def make_run_trigger(source: Workspace, target: Workspace) -> RunTrigger:
    return await triggers.create(SYSTEM, target, source)


async def make_repository(
    organization: Organization, full_name: str = "acme/net", *, app_id: str = "ghapp-test", **given: Any
) -> Repository:
    """A repository that a GitHub App sees through an installation which *organization* may use."""
    number = next(_numbers)
    owner = full_name.partition("/")[0]
    installation = await Installation.get_or_none(app_id=app_id, account_login=owner)
    if installation is None:
        installation = await Installation.create(
            id=ids.new("github_app_installation"),
            app_id=app_id,
            number=number,
            account_number=number,
            account_login=owner,
            account_type="Organization",
            created_at=clock.now(),
        )
    await InstallationLink.get_or_create(
        installation_id=installation.id, organization_id=organization.id, defaults={"created_at": clock.now()}
    )
    return await Repository.create(
        id=ids.new("github_repository"),
        app_id=app_id,
        number=number,
        installation=installation,
        full_name=full_name,
        created_at=clock.now(),
        **given,
    )


async def connect(actor: Actor, workspace: Workspace, **given: Any) -> None:
    """Connect *workspace* to a repository as `connections.change` takes it, or change how it is connected."""
    connecting = await connections.change(actor, workspace, given)
    await workspaces.update(actor, workspace, also=connecting.write)
