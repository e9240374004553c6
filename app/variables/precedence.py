"""Which of several variables of one name a run gets.  Pure: knows no database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from app.secret import Secret


class Level(IntEnum):
    """Where a variable comes from, the strongest first.  Files in the configuration are weaker than all of
    these; Terraform itself sees to them.  `TF_VAR_…` of a person's shell arrive as run variables."""

    PRIORITY_GLOBAL_SET = 1
    PRIORITY_PROJECT_SET_OF_ORGANIZATION = 2
    PRIORITY_WORKSPACE_SET_OF_ORGANIZATION = 3
    PRIORITY_PROJECT_SET_OF_PROJECT = 4
    PRIORITY_WORKSPACE_SET_OF_PROJECT = 5
    RUN = 6
    WORKSPACE = 8
    WORKSPACE_SET_OF_PROJECT = 9
    PROJECT_SET_OF_PROJECT = 10
    WORKSPACE_SET_OF_ORGANIZATION = 11
    PROJECT_SET_OF_ORGANIZATION = 12
    GLOBAL_SET = 13


@dataclass(frozen=True, slots=True)
class Value:
    """A variable as a run gets it.  *source* names where it was set, for people: ``workspace``, ``run``, a
    set."""

    key: str
    value: Secret[str]
    category: str
    hcl: bool
    sensitive: bool
    source: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that wants to be the one.  *name* is the set's, where it is from a set: it decides ties."""

    value: Value
    level: Level
    name: str = ""


def winners(candidates: Iterable[Candidate]) -> list[Value]:
    """One value for each category and key, ordered by both."""
    best: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        place = (candidate.value.category, candidate.value.key)
        if place not in best or _rank(candidate) < _rank(best[place]):
            best[place] = candidate
    return [best[place].value for place in sorted(best)]


def overwritten(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that lose against another of the same category and key."""
    everyone = list(candidates)
    winning = {id(value) for value in winners(everyone)}
    return [candidate for candidate in everyone if id(candidate.value) not in winning]


def _rank(candidate: Candidate) -> tuple[int, str]:
    return candidate.level, candidate.name
