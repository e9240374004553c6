"""The three lines with which every log begins, for one that is begun without a supervisor, which writes its own."""

from __future__ import annotations

from app.execution import cli_config
from app.jobs.models import Job

_NAMES = {"terraform": "Terraform", "opentofu": "OpenTofu"}


def of(job: Job) -> str:
    name = _NAMES.get(job.engine, job.engine)
    return f"{name} v{job.terraform_version}\non {cli_config.this_platform()}\nInitializing plugins and modules...\n"
