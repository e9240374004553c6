"""Ids as the TFE API writes them: a prefix that tells the kind, a hyphen, sixteen letters or digits.

A plan and an apply carry their run's suffix, so a run's document needs no join to name them.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from functools import cache

#: What a thing is called here, and the prefix of its ids.
PREFIXES = {
    "user": "user",
    "session": "sess",
    "login": "login",
    "token": "at",
    "organization": "org",
    "organization_membership": "ou",
    "team": "team",
    "team_access": "tws",
    "team_project_access": "tprj",
    "project": "prj",
    "workspace": "ws",
    "workspace_resource": "wsr",
    "tag": "tag",
    "tag_binding": "tb",
    "reserved_tag_key": "rtk",
    "variable": "var",
    "variable_set": "varset",
    "configuration_version": "cv",
    "ingress_attributes": "ia",
    "run": "run",
    "run_event": "re",
    "comment": "wsc",
    "plan": "plan",
    "apply": "apply",
    "plan_export": "pe",
    "cost_estimate": "ce",
    "state_version": "sv",
    "state_version_output": "wsout",
    "policy": "pol",
    "policy_set": "polset",
    "policy_set_version": "polsetver",
    "policy_set_parameter": "psparam",
    "policy_check": "polchk",
    "policy_evaluation": "poleval",
    "policy_set_outcome": "psout",
    "run_task": "task",
    "workspace_run_task": "wstask",
    "task_stage": "ts",
    "task_result": "taskrs",
    "run_trigger": "rt",
    "notification_configuration": "nc",
    "agent_pool": "apool",
    "agent": "agent",
    "ssh_key": "sshkey",
    "oauth_client": "oc",
    "oauth_token": "ot",
    "github_app": "ghapp",
    "github_app_installation": "ghain",
    "github_delivery": "ghdel",
    "github_repository": "ghrepo",
    "github_check": "ghchk",
    "vcs_event": "ve",
    "fork_commit": "fc",
    "registry_module": "mod",
    "registry_module_version": "modver",
    "registry_provider": "prov",
    "registry_provider_version": "provver",
    "registry_provider_platform": "provpltfrm",
    "assessment_result": "asmtres",
    "audit_event": "ae",
    "tool_version": "tool",
    # Ours alone, never on the wire:
    "job": "job",
    "worker": "wrk",
    "stored_object": "obj",
    "message": "msg",
}

SUFFIX_LENGTH = 16
_SYMBOLS = string.ascii_letters + string.digits


def random_suffix() -> str:
    """The part after the hyphen.  The one source of randomness of ids: a simulation replaces this
    function."""
    return "".join(secrets.choice(_SYMBOLS) for _ in range(SUFFIX_LENGTH))


def new(kind: str) -> str:
    """A fresh id: ``new("run")`` is ``run-`` and a suffix nobody can guess.  *kind* is a key of
    `PREFIXES`."""
    return f"{PREFIXES[kind]}-{random_suffix()}"


@cache
def maker(kind: str) -> Callable[[], str]:
    """A function that makes ids of *kind*, to be the default of a model's field.

    Always the same function, and importable as ``new_KIND``: migrations write the default down by that
    name, and would see a change each time if it were a lambda or a partial.
    """
    PREFIXES[kind]

    def make() -> str:
        return new(kind)

    make.__name__ = make.__qualname__ = f"new_{kind}"
    return make


def __getattr__(name: str) -> Callable[[], str]:
    if name.startswith("new_") and name[4:] in PREFIXES:
        return maker(name[4:])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def plan_id(run_id: str) -> str:
    return _renamed(run_id, "run", "plan")


def apply_id(run_id: str) -> str:
    return _renamed(run_id, "run", "apply")


def run_id_of(plan_or_apply_id: str) -> str:
    """The run whose plan or apply that is.  Raises ValueError if it is neither."""
    prefix = plan_or_apply_id.partition("-")[0]
    return _renamed(plan_or_apply_id, "plan" if prefix == "plan" else "apply", "run")


def _renamed(identifier: str, old: str, new_prefix: str) -> str:
    prefix, hyphen, suffix = identifier.partition("-")
    if prefix != old or not hyphen or not suffix:
        raise ValueError(f"{identifier!r} is not the id of a {old}")
    return f"{new_prefix}-{suffix}"
