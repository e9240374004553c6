"""A delivery in the hands of whoever handles it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from github_app.models import Delivery, GitHubApp

Payload = TypeVar("Payload")


class NothingToDo(Exception):
    """Why a delivery is passed over, as a sentence."""


@dataclass(frozen=True, slots=True)
class Told(Generic[Payload]):
    """The app it came for, its row, and its body read as its event's model."""

    app: GitHubApp
    delivery: Delivery
    payload: Payload
