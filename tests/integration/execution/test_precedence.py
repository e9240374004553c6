"""The fifteen levels of precedence, each given a value of its own, as a real terraform sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app import runs, variables
from app.access.actors import SYSTEM
from app.organizations.models import Organization
from app.projects.models import Project
from app.secret import Secret
from app.variables import sets
from app.variables.precedence import TABLE, Level, Owner, Scope, SetKind
from app.variables.sets import SetChange
from app.workspaces.models import Workspace
from tests import factories
from tests.integration.execution.conftest import Crew, outputs, rested, start, whole_log


def rungs(category: str) -> list[Level]:
    """The levels that can give a variable of that category."""
    never = {Level.SHELL}  # which the CLI sends among the run's
    if category == "env":
        never |= {Level.RUN, Level.AUTO_TFVARS, Level.TFVARS}
    return [row.level for row in TABLE if row.level not in never]


def given_by(level: Level, category: str) -> list[str]:
    """The numbers of the variables that *level* gives: variable N is given by level N and all weaker ones."""
    return [f"{rung:02}" for rung in rungs(category) if rung <= level]


def changes(level: Level) -> list[variables.Change]:
    """`vNN` directly, `eNN` by the environment: only its own category decides what an environment variable is."""
    named = [("terraform", f"v{number}") for number in given_by(level, "terraform")]
    named += [("env", f"TF_VAR_e{number}") for number in given_by(level, "env")]
    return [variables.Change(key=key, value=Secret(level.name), category=category) for category, key in named]


async def make_set(
    organization: Organization, kind: SetKind, level: Level, workspace: Workspace, project: Project
) -> None:
    wanted = SetChange(
        name=f"{kind.owner.value} {kind.scope.value} {kind.priority}",
        is_global=kind.scope is Scope.GLOBAL,
        priority=kind.priority,
        variables=changes(level),
        workspace_ids=[workspace.id] if kind.scope is Scope.WORKSPACE else [],
        project_ids=[project.id] if kind.scope is Scope.PROJECT else [],
    )
    await sets.create(SYSTEM, organization, wanted, project=project if kind.owner is Owner.PROJECT else None)


def files() -> dict[str, str]:
    names = [f"v{number}" for number in given_by(Level.TFVARS, "terraform")]
    names += [f"e{number}" for number in given_by(Level.GLOBAL_SET, "env")]
    names += ["by_environment", "by_file"]

    def values(level: Level) -> str:
        return "".join(f'v{number} = "{level.name}"\n' for number in given_by(level, "terraform"))

    return {
        "main.tf": "".join(f'variable "{name}" {{}}\noutput "{name}" {{\n  value = var.{name}\n}}\n' for name in names),
        "terraform.tfvars": values(Level.TFVARS) + 'by_file = "TFVARS"\n',
        "a.auto.tfvars": values(Level.AUTO_TFVARS),
        "zzzzz.auto.tfvars": values(Level.AUTO_TFVARS),
        "é.auto.tfvars.json": "{}",
    }


def expected() -> Mapping[str, Any]:
    found = {f"v{level:02}": level.name for level in rungs("terraform")}
    found |= {f"e{level:02}": level.name for level in rungs("env")}
    return found | {"by_environment": "GLOBAL_SET", "by_file": "TFVARS"}


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_terraform_gets_each_variable_from_the_strongest_that_gives_it(crew: Crew) -> None:
    organization = await factories.make_organization()
    project = await factories.make_project(organization)
    home = await factories.make_workspace(organization, project=project)
    for row in TABLE:
        if row.of_sets is not None:
            await make_set(organization, row.of_sets, row.level, home, project)
    for change in changes(Level.WORKSPACE):
        await variables.create(SYSTEM, home, change)
    # TF_VAR_… is the weakest source terraform has, however strong the set it is from.
    by_environment = [
        variables.Change(key=f"TF_VAR_{name}", value=Secret("GLOBAL_SET"), category="env")
        for name in ("by_environment", "by_file")
    ]
    await sets.create(SYSTEM, organization, SetChange(name="env", is_global=True, variables=by_environment))
    chosen = [runs.run_variable(f"v{number}", f'"{Level.RUN.name}"') for number in given_by(Level.RUN, "terraform")]
    run = await rested(await start(files(), home, auto_apply=True, variables=chosen), "apply")
    assert run.status == "applied", await whole_log(run)
    assert await outputs(home) == expected()


@pytest.mark.parametrize("parts", ["embedded"], indirect=True)
async def test_among_sets_of_one_level_terraform_gets_the_first_by_name(crew: Crew) -> None:
    home = await factories.make_workspace()
    organization = await Organization.get(id=home.organization_id)
    for name in ("b", "a", "Z", "é"):
        change = variables.Change(key="v", value=Secret(name), category="terraform")
        wanted = SetChange(name=name, variables=[change], workspace_ids=[home.id])
        await sets.create(SYSTEM, organization, wanted)
    text = 'variable "v" {}\noutput "v" {\n  value = var.v\n}\n'
    run = await rested(await start({"main.tf": text}, home, auto_apply=True), "apply")
    assert run.status == "applied", await whole_log(run)
    assert await outputs(home) == {"v": "Z"}
