"""The one list of who listens when something happens.

Called once by each entry point.  A listener may hear an event twice and does nothing slow.
"""

from __future__ import annotations

from app import bell, configurations, events, organizations, runs, states, tool_versions, workspaces
from app.runs import deletion, queue, triggering, uploads, wishes
from app.vcs import connections, fork_commits
from app.workspaces import locking, versions
from github_app import checks, forks, reading


def connect() -> None:
    """Say who listens."""
    events.when_run_moves(bell.ring, queue.on_move, uploads.adopt_applied, triggering.fire, checks.on_move)
    events.when_run_is_wished(wishes.tell)
    events.when_workspace_frees(queue.advance)
    events.when_organization_is_deleted(deletion.on_deletion_of_organization)
    events.when_workspace_is_deleted(deletion.on_deletion)
    configurations.before_archive(uploads.refuse_archiving)
    configurations.before_upload(connections.refuse_upload)
    connections.before_connecting(reading.refuse_unreadable)
    configurations.uploaded.when(uploads.queue_uploaded)
    events.when_state_changes(runs.discard_stale)
    organizations.before_delete(workspaces.delete_all)
    locking.before_unlock(states.before_unlock)
    versions.configure(tool_versions.offer)
    fork_commits.configure(forks.approve_in)
