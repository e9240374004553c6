"""What every table of ours is declared with."""

from __future__ import annotations

from typing import Any

from tortoise import models


class _Uncommented(models.ModelMeta):
    """Tortoise reads and parses the source of each model for comments about its fields, a quarter of the time in which
    a process starts.  Ours are described by `description`."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> models.ModelMeta:
        return super().__new__(cls, name, bases, {"_no_comments": True, **attributes})


class Model(models.Model, metaclass=_Uncommented):
    class Meta:
        abstract = True
