"""Jobs: phases of runs that wait for a worker's slot or occupy one."""

from __future__ import annotations

from tortoise import fields
from tortoise.indexes import Index

from app.storage.model import Model


class Job(Model):
    """One phase of one run: its plan, its apply, or checks of the plan that have a job of their own (``check``).  Open
    until its log is closed; at most one open job per run and phase.

    `worker_id` null: it waits.  `lease` is raised by its holder; who sees the same number for long may end
    it (`lapsed`).  `claim` is raised by each claim, and what a holder writes is refused once it is old.
    `life` is raised by each use of the phase's run token: a lapsed apply whose life goes on is not given up.
    """

    id = fields.CharField(max_length=32, primary_key=True)
    run: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Run", related_name="jobs")
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Organization", related_name="jobs")
    run_id: str
    organization_id: str
    phase = fields.CharField(max_length=8, description="plan or apply")
    priority = fields.IntField(description="0 apply, 1 plan, 2 speculative plan")
    number = fields.BigIntField(unique=True, description="drawn when first queued, kept when queued again")
    engine = fields.CharField(max_length=16, default="terraform")
    terraform_version = fields.CharField(max_length=64)
    worker_id = fields.CharField(max_length=64, null=True)
    claim = fields.IntField(default=0)
    lease = fields.BigIntField(default=0)
    life = fields.BigIntField(default=0)
    lapsed = fields.BooleanField(default=False)
    losses = fields.IntField(default=0, description="how often its worker was lost; queued again twice at most")
    told = fields.BooleanField(default=False, db_default=False, description="its log says what it waits for")
    queued_at = fields.DatetimeField()
    claimed_at = fields.DatetimeField(null=True)
    closed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "jobs"
        # Those of the open jobs, waiting and held, are partial ones (migration 0003): closed jobs are the many.
        indexes = [Index(fields=("run_id", "phase"))]


class Line(Model):
    """The waiting jobs of one organization and priority; `served` is the number of the claim it got last."""

    id = fields.IntField(primary_key=True)
    organization: fields.ForeignKeyRelation = fields.ForeignKeyField("models.Organization", related_name="lines")
    organization_id: str
    priority = fields.IntField()
    served = fields.BigIntField(default=0)

    class Meta:
        table = "lines"


class Counter(Model):
    """A number that only grows, drawn under the claim lock."""

    name = fields.CharField(max_length=32, primary_key=True)
    value = fields.BigIntField(default=0)

    class Meta:
        table = "counters"


class Worker(Model):
    """A worker that has reported itself: what it can run, and that it lives (`pulse`, raised each 5 s)."""

    id = fields.CharField(max_length=64, primary_key=True)
    name = fields.CharField(max_length=128)
    slots = fields.IntField()
    tools: list[str] = fields.JSONField(default=list, description="engine/version pairs")
    takes: list[str] | None = fields.JSONField(
        null=True, description="pairs it takes jobs for: those, and what it can get"
    )
    downloads = fields.BooleanField(default=False, db_default=False, description="it may download official releases")
    problem = fields.TextField(null=True, description="why it claims nothing, in a sentence")
    pulse = fields.BigIntField(default=0)
    figures = fields.TextField(null=True, description="what it measured, in Prometheus' text format")
    started_at = fields.DatetimeField()
    seen_at = fields.DatetimeField()

    class Meta:
        table = "workers"
