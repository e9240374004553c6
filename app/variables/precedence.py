"""Which of several variables of one name a run gets: the table, and who wins by it.  Pure: knows no database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Generic, Protocol, TypeVar

from app.secret import Secret


class Level(IntEnum):
    """Where a variable comes from, the strongest first."""

    PRIORITY_GLOBAL_SET = 1
    PRIORITY_PROJECT_SET_OF_ORGANIZATION = 2
    PRIORITY_WORKSPACE_SET_OF_ORGANIZATION = 3
    PRIORITY_PROJECT_SET_OF_PROJECT = 4
    PRIORITY_WORKSPACE_SET_OF_PROJECT = 5
    RUN = 6
    SHELL = 7
    WORKSPACE = 8
    WORKSPACE_SET_OF_PROJECT = 9
    PROJECT_SET_OF_PROJECT = 10
    WORKSPACE_SET_OF_ORGANIZATION = 11
    PROJECT_SET_OF_ORGANIZATION = 12
    GLOBAL_SET = 13
    AUTO_TFVARS = 14
    TFVARS = 15


class Owner(Enum):
    ORGANIZATION = "organization"
    PROJECT = "project"


class Scope(Enum):
    """What a variable set is applied to."""

    GLOBAL = "global"
    PROJECT = "project"
    WORKSPACE = "workspace"


class Judge(Enum):
    """Who sees to it that a level beats the next one."""

    SERVER = "Stateroom"
    CLI = "the CLI, which sends the winner"
    TERRAFORM = "Terraform, in the run"


@dataclass(frozen=True, slots=True)
class SetKind:
    """A kind of variable set, as far as precedence tells kinds apart."""

    owner: Owner
    scope: Scope
    priority: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    level: Level
    says: str
    judge: Judge = Judge.SERVER
    of_sets: SetKind | None = None


_ORGANIZATION, _PROJECT = Owner.ORGANIZATION, Owner.PROJECT

#: The whole of it, strongest first.  `docs/variables.md` is made of these rows.
TABLE = (
    Row(
        Level.PRIORITY_GLOBAL_SET,
        "a priority set of the organization, global",
        of_sets=SetKind(_ORGANIZATION, Scope.GLOBAL, priority=True),
    ),
    Row(
        Level.PRIORITY_PROJECT_SET_OF_ORGANIZATION,
        "a priority set of the organization, on the project",
        of_sets=SetKind(_ORGANIZATION, Scope.PROJECT, priority=True),
    ),
    Row(
        Level.PRIORITY_WORKSPACE_SET_OF_ORGANIZATION,
        "a priority set of the organization, on the workspace",
        of_sets=SetKind(_ORGANIZATION, Scope.WORKSPACE, priority=True),
    ),
    Row(
        Level.PRIORITY_PROJECT_SET_OF_PROJECT,
        "a priority set of the project, on the project",
        of_sets=SetKind(_PROJECT, Scope.PROJECT, priority=True),
    ),
    Row(
        Level.PRIORITY_WORKSPACE_SET_OF_PROJECT,
        "a priority set of the project, on the workspace",
        of_sets=SetKind(_PROJECT, Scope.WORKSPACE, priority=True),
    ),
    Row(Level.RUN, "`-var` and `-var-file` of the run"),
    Row(Level.SHELL, "`TF_VAR_…` in the shell of whoever starts the run", Judge.CLI),
    Row(Level.WORKSPACE, "the workspace's own variables"),
    Row(
        Level.WORKSPACE_SET_OF_PROJECT,
        "a set of the project, on the workspace",
        of_sets=SetKind(_PROJECT, Scope.WORKSPACE),
    ),
    Row(
        Level.PROJECT_SET_OF_PROJECT,
        "a set of the project, on the project",
        of_sets=SetKind(_PROJECT, Scope.PROJECT),
    ),
    Row(
        Level.WORKSPACE_SET_OF_ORGANIZATION,
        "a set of the organization, on the workspace",
        of_sets=SetKind(_ORGANIZATION, Scope.WORKSPACE),
    ),
    Row(
        Level.PROJECT_SET_OF_ORGANIZATION,
        "a set of the organization, on the project",
        of_sets=SetKind(_ORGANIZATION, Scope.PROJECT),
    ),
    Row(
        Level.GLOBAL_SET,
        "a set of the organization, global",
        of_sets=SetKind(_ORGANIZATION, Scope.GLOBAL),
    ),
    Row(Level.AUTO_TFVARS, "`*.auto.tfvars` in the configuration", Judge.TERRAFORM),
    Row(Level.TFVARS, "`terraform.tfvars` in the configuration", Judge.TERRAFORM),
)

_LEVEL_OF = {row.of_sets: row.level for row in TABLE if row.of_sets is not None}


def level_of_set(kind: SetKind) -> Level:
    """The level of the variables of a set of that kind."""
    return _LEVEL_OF[kind]


class Named(Protocol):
    """What precedence needs to know of a variable."""

    @property
    def key(self) -> str: ...

    @property
    def category(self) -> str: ...


V = TypeVar("V", bound=Named)


@dataclass(frozen=True, slots=True)
class Value:
    """A variable as a run gets it.  *source* names where it was set, for people: ``workspace``, ``run``, or
    ``set`` and the set's name."""

    key: str
    value: Secret[str]
    category: str
    hcl: bool
    sensitive: bool
    source: str


@dataclass(frozen=True, slots=True)
class Candidate(Generic[V]):
    """A variable that wants to be the one.  *name* is the set's, where it is from a set: it decides ties."""

    value: V
    level: Level
    name: str = ""


def contests(candidates: Iterable[Candidate[V]]) -> list[list[Candidate[V]]]:
    """Those of one category and key together, the winner first; ordered by category and key."""
    places: dict[tuple[str, str], list[Candidate[V]]] = defaultdict(list)
    for candidate in candidates:
        places[candidate.value.category, candidate.value.key].append(candidate)
    return [sorted(places[place], key=_rank) for place in sorted(places)]


def winners(candidates: Iterable[Candidate[V]]) -> list[V]:
    """One value for each category and key, ordered by both."""
    return [contest[0].value for contest in contests(candidates)]


def overwritten(candidates: Iterable[Candidate[V]]) -> list[Candidate[V]]:
    """Those that lose against another of the same category and key."""
    return [loser for contest in contests(candidates) for loser in contest[1:]]


def _rank(candidate: Candidate[V]) -> tuple[int, str]:
    """Strings compare by code point, as the names of sets are to."""
    return candidate.level, candidate.name
