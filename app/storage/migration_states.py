"""The models as they were at each migration, without what only queries need.

Tortoise copies all models before each operation, and after it makes all of them ready for queries again: ten seconds
of a first start.  Operations look at the models' fields and tables alone, and few at what was before.  So a copy is
rendered when somebody asks for it, and then whole: the code of a data migration queries with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tortoise.migrations.schema_generator.state import ModelState, State
from tortoise.migrations.schema_generator.state_apps import StateApps


def empty(default_connections: dict[str, str]) -> State:
    """No models yet: what the first migration starts from."""
    return _Current(models={}, apps=_Described(default_connections=default_connections))


class _Described(StateApps):
    """Models with their fields and relations, and without queries."""

    def _build_initial_querysets(self) -> None:
        for models in self.apps.values():
            for model in models.values():
                if model._meta._inited:
                    model._meta.finalise_fields()
                    model._meta._resolve_index_expressions()


class _Current(State):
    """What the operations change, one after the other."""

    def clone(self) -> State:
        models = {key: model.clone() for key, model in self.models.items()}
        return _Before(models, self.apps)  # type: ignore[return-value]


@dataclass
class _Before:
    """A `State` that nobody changes."""

    models: dict[tuple[str, str], ModelState]
    later: StateApps

    @cached_property
    def apps(self) -> StateApps:
        whole = StateApps(dict(self.later._default_connections), self.later._connections)
        return whole.clone(self.models)
