"""The smallest documents a stock CLI accepts, all of them about one run that has already finished.

The CLI checks the type of every relation it knows and reads `permissions` and `actions` without asking
whether they are there, so nothing here may be left out (go-tfe workspace.go, run.go, plan.go).
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

MOMENT = "2026-01-02T03:04:05Z"
WORKSPACE = "ws-ideal"
RUN, PLAN, APPLY = "run-ideal", "plan-ideal", "apply-ideal"
CONFIGURATION = "cv-ideal"
STATE = "sv-ideal"

RIGHTS = (
    *("update", "queue-run", "queue-apply", "queue-destroy", "lock", "unlock", "force-unlock"),
    *("read-settings", "update-variable", "read-variable", "destroy", "read-state-versions", "force-delete"),
)


def one(resource: Document, *included: Document) -> Document:
    return {"data": resource, "included": list(included)} if included else {"data": resource}


def many(*resources: Document) -> Document:
    page = {
        "current-page": 1,
        "prev-page": None,
        "next-page": None,
        "total-pages": 1,
        "total-count": len(resources),
    }
    return {"data": list(resources), "meta": {"pagination": page}}


def resource(kind: str, name: str, attributes: Document, relations: Document | None = None) -> Document:
    return {"id": name, "type": kind, "attributes": attributes, "relationships": relations or {}}


def to(kind: str, name: str) -> Document:
    return {"data": {"id": name, "type": kind}}


def entitlements(organization: str) -> Document:
    return resource("entitlement-sets", organization, {"operations": True, "state-storage": True})


def capacity(organization: str) -> Document:
    return resource("organization-capacity", organization, {"pending": 0, "running": 0})


def project() -> Document:
    return resource("projects", "prj-ideal", {"name": "Default Project"})


def workspace(organization: str = "main", name: str = "ideal") -> Document:
    attributes = {
        "name": name,
        "created-at": MOMENT,
        "updated-at": MOMENT,
        "execution-mode": "remote",
        "operations": True,
        "terraform-version": "latest",
        "locked": False,
        "auto-apply": False,
        "working-directory": "",
        "vcs-repo": None,
        "structured-run-output-enabled": False,
        "tag-names": [],
        "actions": {"is-destroyable": True},
        "permissions": {f"can-{right}": True for right in RIGHTS},
    }
    relations = {
        "organization": to("organizations", organization),
        "project": to("projects", "prj-ideal"),
        "current-run": {"data": None},
    }
    return resource("workspaces", WORKSPACE, attributes, relations)


def configuration(upload_url: str, status: str) -> Document:
    attributes = {
        "status": status,
        "upload-url": upload_url,
        "auto-queue-runs": False,
        "speculative": True,
        "provisional": False,
        "source": "tfe-api",
        "error": None,
        "error-message": None,
        "status-timestamps": {},
    }
    return resource("configuration-versions", CONFIGURATION, attributes, {"ingress-attributes": {"data": None}})


def run() -> Document:
    """The run, over before anybody asks: no changes, nothing to confirm, nothing to cancel."""
    attributes = {
        "status": "planned_and_finished",
        "created-at": MOMENT,
        "has-changes": False,
        "is-destroy": False,
        "refresh-only": False,
        "message": "Triggered via CLI",
        "plan-only": True,
        "auto-apply": False,
        "source": "tfe-api",
        "position-in-queue": 0,
        "variables": [],
        "status-timestamps": {"plan-queueable-at": MOMENT},
        "actions": dict.fromkeys(("is-cancelable", "is-confirmable", "is-discardable", "is-force-cancelable"), False),
        "permissions": dict.fromkeys(
            ("can-apply", "can-cancel", "can-discard", "can-force-execute", "can-force-cancel"), True
        ),
    }
    relations = {
        "workspace": to("workspaces", WORKSPACE),
        "plan": to("plans", PLAN),
        "apply": to("applies", APPLY),
        "configuration-version": to("configuration-versions", CONFIGURATION),
        "policy-checks": {"data": []},
        "task-stages": {"data": []},
        "cost-estimate": {"data": None},
    }
    return resource("runs", RUN, attributes, relations)


def phase(kind: str, name: str, log_url: str) -> Document:
    counts = dict.fromkeys(("resource-additions", "resource-changes", "resource-destructions", "resource-imports"), 0)
    attributes = {"status": "finished", "has-changes": False, "generated-configuration": False, **counts}
    return resource(kind, name, {**attributes, "log-read-url": log_url, "status-timestamps": {}})


def state_version(url: str) -> Document:
    attributes = {
        "created-at": MOMENT,
        "serial": 1,
        "size": 1,
        "status": "finalized",
        "hosted-state-upload-url": f"{url}/state",
        "hosted-json-state-upload-url": f"{url}/json",
        "hosted-state-download-url": f"{url}/state",
        "hosted-json-state-download-url": f"{url}/json",
        "resources-processed": True,
        "state-version": 4,
    }
    return resource("state-versions", STATE, attributes, {"run": {"data": None}, "outputs": {"data": []}})
