"""Make everything ready for one phase: its directory, and the order its supervisor is given."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app import ids
from app.access import run_tokens
from app.configurations import archive
from app.configurations.archive import ArchiveLimits
from app.configurations.models import ConfigurationVersion
from app.errors import Invalid, StateroomError
from app.execution import binding, carried, cli_config, overrides, workdir
from app.execution.cli_config import Mirror
from app.execution.releases import Release
from app.execution.station import Station
from app.execution.workdir import Print, Workdir
from app.http import signed_urls
from app.jobs.models import Job
from app.organizations.models import Organization
from app.projects.models import Project
from app.runs import snapshot
from app.runs.models import Plan, Run
from app.secret import Secret
from app.storage import hot, objects
from app.storage.models import StoredObject
from app.supervisor.sandbox import Inside, inside
from app.supervisor.spec import PLAN_FILE, Directories, Egress, Limits, Options, Spec, Tools, Workspace
from app.supervisor.upstream import INSIDE_HOST
from app.variables.precedence import Value
from app.workspaces import versions
from app.workspaces.models import Workspace as WorkspaceRow

#: Up to here `terraform_remote_state` with `backend = "atlas"` is known.
_LAST_ATLAS = (0, 11, 12)
#: From here on terraform knows `-generate-config-out`; every OpenTofu does.
_FIRST_GENERATING = (1, 5)
#: Of the API's documents.
MOST_PARALLEL = 256


class CannotStart(StateroomError):
    """The phase ends before terraform could run; the sentence goes into its log."""


@dataclass(frozen=True, slots=True)
class Order:
    """One phase, ready to be carried out, and what must be remembered to judge its result."""

    spec: Spec
    directory: Workdir
    binding: dict[str, Any]
    before: dict[str, Print]
    ours: tuple[str, ...]
    root: str
    """The root module's path in the configuration, links followed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The rows a phase is about.  `run` has its workspace (with organization and project) and configuration version
    (with archive) at hand; an apply has the plan, with its files."""

    job: Job
    run: Run
    plan: Plan | None = None

    @property
    def is_apply(self) -> bool:
        return self.job.phase == "apply"

    @property
    def phase_id(self) -> str:
        return ids.apply_id(self.run.id) if self.is_apply else ids.plan_id(self.run.id)


async def subject_of(job: Job) -> Subject:
    """Everything a phase needs to know.  Row by row: to build the join of them takes longer than to read them all."""
    run = await hot.get(Run, job.run_id)
    run.workspace = workspace = await hot.get(WorkspaceRow, run.workspace_id)
    workspace.organization = await hot.get(Organization, workspace.organization_id)
    workspace.project = await hot.get(Project, workspace.project_id)
    run.configuration_version = version = await hot.get(ConfigurationVersion, run.configuration_version_id)
    version.archive = await hot.get(StoredObject, version.archive_id) if version.archive_id else None
    plan = None
    if job.phase == "apply":
        plan = await Plan.get(run_id=run.id).select_related("plan_file", "carried_files")
    return Subject(job, run, plan)


async def prepare(subject: Subject, station: Station, release: Release, directory: Workdir, uid: int | None) -> Order:
    """Lay the directory out and write the order.  Raises a StateroomError if the phase cannot be carried out."""
    job, run = subject.job, subject.run
    _refuse_if_local(subject)
    if run.is_restricted and station.settings.sandbox == "none":
        raise CannotStart(
            "This plans a stranger's code, and this worker confines nothing (STATEROOM_SANDBOX=none). Let a worker with"
            " a sandbox plan it."
        )
    values, fingerprint = await snapshot.with_fingerprint(run)
    place = str(directory.state) if station.settings.sandbox == "none" else ""
    bound = binding.of(run, job, fingerprint, bundle=release.bundle, place=place)
    if subject.is_apply:
        _refuse_if_moved(subject, bound)
    token = await run_tokens.mint(job, run)
    packed, plan_files = await _fetch(subject, directory)
    directories = Directories(
        config=str(directory.config),
        state=str(directory.state),
        out=str(directory.out),
        control=str(directory.control),
        working=run.workspace.working_directory.strip("/"),
    )
    mirror = station.settings.mirror_dir
    within = inside(
        station.settings.sandbox,
        directories,
        mirror=str(mirror),
        run_mirror=str(directory.run_mirror),
        providers=str(release.providers or ""),
    )
    laying = _Laying(run, values, token, station, release, directory, within)
    laid = await asyncio.to_thread(laying.lay, packed, plan_files)
    spec = _spec(subject, station, release, directories, laid, values, token, uid)
    return Order(spec, directory, bound, laid.before, laid.ours, laid.root)


async def _fetch(subject: Subject, directory: Workdir) -> tuple[Path, Path | None]:
    """Bring what lies in the object store into the directory: the archive, and for an apply what the plan left."""
    run = subject.run
    archived = run.configuration_version.archive
    if archived is None:
        raise CannotStart("The configuration version's files are gone. Upload it again and start a new run.")
    await asyncio.to_thread(directory.make)
    packed = directory.control / "configuration.tar.gz"
    downloads = [_download(archived, packed)]
    files: Path | None = None
    if subject.plan is not None and subject.plan.plan_file is not None:
        downloads.append(_download(subject.plan.plan_file, directory.out / PLAN_FILE))
        if subject.plan.carried_files is not None:
            files = directory.control / "carried.tar"
            downloads.append(_download(subject.plan.carried_files, files))
    await asyncio.gather(*downloads)
    return packed, files


async def _download(stored: StoredObject, path: Path) -> None:
    with _created(path) as file:
        async for piece in objects.stream(stored):
            await asyncio.to_thread(file.write, piece) if len(piece) > objects.INLINE else file.write(piece)


def _created(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


@dataclass(frozen=True, slots=True)
class _Laid:
    cli_config: str
    before: dict[str, Print]
    ours: tuple[str, ...]
    remarks: tuple[str, ...]
    root: str
    has_run_mirror: bool


@dataclass(frozen=True, slots=True)
class _Laying:
    """Unpack the configuration and put ours beside it.  Runs in a thread."""

    run: Run
    values: Sequence[Value]
    token: Secret[str]
    station: Station
    release: Release
    directory: Workdir
    inside: Inside

    def lay(self, packed: Path, plan_files: Path | None) -> _Laid:
        with packed.open("rb") as file:
            pieces = iter(lambda: file.read(1 << 20), b"")
            archive.unpack(pieces, self.directory.config, limits=ArchiveLimits.of(self.station.settings))
        packed.unlink()
        root = self.directory.root_module(self.run.workspace.working_directory)
        self._require_configuration(root)
        top = self.directory.config.resolve()
        relative = "" if root == top else root.relative_to(top).as_posix()
        workdir.clean(root)
        has_run_mirror = cli_config.lay_old_plugins(root, self.directory.run_mirror)
        before = workdir.prints(self.directory.config)
        ours, remarks = self._lay_ours(root, relative, plan_files)
        self._lay_state()
        return _Laid(self._cli_config(root, relative, has_run_mirror), before, ours, remarks, relative, has_run_mirror)

    def _require_configuration(self, root: Path) -> None:
        names = (path.name for path in root.iterdir())
        if self.run.is_destroy or overrides.is_configuration(names, self.run.engine):
            return
        where = self.run.workspace.working_directory.strip("/")
        raise Invalid(
            f"No configuration files: {f'the working directory {where}' if where else 'the configuration version'} has"
            " no file that ends in .tf or .tf.json, and planning without one would destroy everything there is. Upload"
            " the directory that has them, set the workspace's working directory to it, or start a destroy run if that"
            " is what you want."
        )

    def _lay_ours(self, root: Path, relative: str, plan_files: Path | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Ours first, while the tree is as it was uploaded, then what the plan made: it may have made links."""
        names = [path.name for path in root.iterdir()]
        if plan_files is None:
            return self._write_ours(root, names)
        with plan_files.open("rb") as file:
            names += carried.names(file, relative)
            ours, remarks = self._write_ours(root, names)
            carried.lay(file, self.directory.config)
        plan_files.unlink()
        return ours, remarks

    def _write_ours(self, root: Path, names: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        name, text = overrides.backend(names, self.inside.state)
        laid = overrides.variables(self.values, root, names)
        files = {name: text, **laid.files}
        workdir.lay(root, files)
        return tuple(files), laid.remarks

    def _lay_state(self) -> None:
        """Terraform takes an empty directory for a workspace that exists; without it `init` would stop."""
        if self.run.workspace.name != "default":
            (self.directory.state / self.run.workspace.name).mkdir(mode=0o700, exist_ok=True)

    def _cli_config(self, root: Path, relative: str, has_run_mirror: bool) -> str:
        settings = self.station.settings
        mirrors = [
            Mirror(
                root / cli_config.PLUGINS,
                "/".join(filter(None, (self.inside.config, relative))) + f"/{cli_config.PLUGINS}",
            )
        ]
        if has_run_mirror:
            mirrors.append(Mirror(self.directory.run_mirror, self.inside.run_mirror))
        if self.release.providers is not None:
            mirrors.append(Mirror(self.release.providers, self.inside.providers))
        mirrors.append(Mirror(settings.mirror_dir, self.inside.mirror))
        return cli_config.text(
            token=self.token.reveal(),
            base_url=f"http://{INSIDE_HOST}",
            names=cli_config.names_of(settings.external_url, settings.internal_url),
            mirrors=mirrors,
            direct=not settings.mirror_only and not self.run.is_restricted,
        )


def _spec(
    subject: Subject,
    station: Station,
    release: Release,
    directories: Directories,
    laid: _Laid,
    values: Sequence[Value],
    token: Secret[str],
    uid: int | None,
) -> Spec:
    job, run, settings = subject.job, subject.run, station.settings
    environment = {value.key: value.value.reveal() for value in values if value.category == "env"}
    return Spec(
        phase="apply" if subject.is_apply else "plan",
        directories=directories,
        tools=Tools(
            terraform=str(release.path),
            version=release.version,
            cli_config=laid.cli_config,
            mirror=str(settings.mirror_dir) if settings.mirror_dir.is_dir() else None,
            run_mirror=str(Path(directories.control, "run-mirror")) if laid.has_run_mirror else None,
            name=versions.NAMES.get(job.engine, job.engine),
            providers=str(release.providers) if release.providers else None,
            beside=tuple(str(path) for path in release.beside),
            schemas=str(station.schemas),
        ),
        workspace=Workspace(id=run.workspace.id, name=run.workspace.name),
        limits=Limits(seconds=_seconds(subject, station), log=settings.max_log),
        api_url=station.api_url,
        token=token.reveal(),
        ca_file=station.ca_file,
        environment={**_described(run), **_atlas(job, run, token), **environment},
        secrets=(token.reveal(), *(value.value.reveal() for value in values if value.sensitive)),
        options=_options(run, environment),
        egress=_egress(station, run),
        sandbox=settings.sandbox,
        bwrap=station.bwrap,
        uid=uid,
        state_version=subject.plan.binding["state_version"] if subject.plan and subject.plan.binding else None,
        remarks=(*laid.remarks, *_remarks(run, environment)),
    )


def _remarks(run: Run, environment: dict[str, str]) -> list[str]:
    remarks = []
    if run.allow_config_generation and (why := cannot_generate(run)):
        remarks.append(f"No configuration is generated: {why}.")
    if environment.get("TFE_PARALLELISM") and parallelism(environment) is None:
        remarks.append(  # without the value, which may be a secret or as long as a book
            f"The environment variable TFE_PARALLELISM is ignored: it is not a whole number from 1 to {MOST_PARALLEL}."
        )
    return remarks


def _seconds(subject: Subject, station: Station) -> float:
    organization, settings = subject.run.workspace.organization, station.settings
    if subject.is_apply:
        return organization.apply_timeout_seconds or settings.apply_timeout
    return organization.plan_timeout_seconds or settings.plan_timeout


def cannot_generate(run: Run) -> str | None:
    """Why a plan of *run* is not asked for configuration: terraform would refuse the whole command."""
    if run.is_destroy or run.refresh_only:
        return "a destroy or refresh-only plan generates no configuration"
    numbers = tuple(int(number) for number in re.findall(r"\d+", run.terraform_version)[:2])
    if run.engine == "terraform" and numbers < _FIRST_GENERATING:
        return f"Terraform {run.terraform_version} does not know how; 1.5 and later do"
    return None


def parallelism(environment: dict[str, str]) -> int | None:
    """How many operations terraform may have under way, if the variables of a run say so."""
    asked = environment.get("TFE_PARALLELISM", "")
    return int(asked) if re.fullmatch(r"[0-9]{1,3}", asked) and 1 <= int(asked) <= MOST_PARALLEL else None


def _options(run: Run, environment: dict[str, str]) -> Options:
    return Options(
        destroy=run.is_destroy,
        refresh_only=run.refresh_only,
        refresh=run.refresh,
        targets=tuple(run.target_addrs or ()),
        replace=tuple(run.replace_addrs or ()),
        generates=run.allow_config_generation and cannot_generate(run) is None,
        parallelism=parallelism(environment),
        debugging=run.debugging_mode,
        # A CLI that saved the plan shows it from this document, also when it changes nothing.
        show_unchanged=run.save_plan,
    )


def _egress(station: Station, run: Run) -> Egress:
    settings = station.settings
    if run.is_restricted:
        return Egress(allow=(), private=(), signed_prefixes=(signed_urls.PATH,))
    return Egress(
        allow=None if settings.egress_public else settings.egress_allow,
        private=settings.egress_allow,
        signed_prefixes=(signed_urls.PATH,),
    )


def _described(run: Run) -> dict[str, str]:
    """What a run can learn about itself, also as input variables of the same names."""
    workspace, organization = run.workspace, run.workspace.organization
    known = {
        "TFC_RUN_ID": run.id,
        "TFC_WORKSPACE_ID": workspace.id,
        "TFC_WORKSPACE_NAME": workspace.name,
        "TFC_WORKSPACE_SLUG": f"{organization.name}/{workspace.name}",
        "TFC_PROJECT_ID": workspace.project.id,
        "TFC_PROJECT_NAME": workspace.project.name,
        "TFC_ORGANIZATION_NAME": organization.name,
    }
    return known | {f"TF_VAR_{name}": value for name, value in known.items()}


def _atlas(job: Job, run: Run, token: Secret[str]) -> dict[str, str]:
    numbers = tuple(int(number) for number in re.findall(r"\d+", job.terraform_version)[:3])
    if job.engine != "terraform" or numbers > _LAST_ATLAS:
        return {}
    return {"ATLAS_TOKEN": token.reveal(), "ATLAS_ADDRESS": f"http://{INSIDE_HOST}", "ATLAS_RUN_ID": run.id}


def _refuse_if_local(subject: Subject) -> None:
    """A plan is made under execution mode remote alone, so an apply that finds local finds it changed."""
    if subject.run.workspace.execution_mode != "local":
        return
    why = "the workspace's execution-mode was set to local, so its runs happen on your machine"
    began = "The plan was not applied" if subject.is_apply else "Nothing was planned"
    raise CannotStart(f"{began}: {why}. Set it to remote and start a new run, or run terraform yourself.")


def _refuse_if_moved(subject: Subject, now: dict[str, Any]) -> None:
    plan = subject.plan
    if plan is None or plan.binding is None or plan.plan_file is None:
        raise CannotStart("The run's plan was not kept, so there is nothing to apply. Start a new run.")
    state = subject.run.workspace.current_state_version_id or ""
    changed = binding.moved(plan.binding, {**now, "state_version": state, "plan": plan.plan_file.sha256})
    if changed:
        raise CannotStart(
            f"The plan is out of date and was not applied: {changed} changed since it was made. Start a new run to plan"
            " against what is there now."
        )
