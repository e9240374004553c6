"""`stateroom worker`: takes jobs and carries them out."""

from __future__ import annotations


def worker() -> None:
    """Carry out runs, nothing else.

    Needs the same database, queue, object store and keys as the web process, reaches the API by
    STATEROOM_INTERNAL_URL, and keeps working directories in its own STATEROOM_DATA_DIR, which must be the
    same after a restart: a worker that comes back adopts the applies it left there.

    SIGTERM: takes no more jobs, gives plans back to the queue, waits for applies.  A second SIGTERM leaves
    them to their supervisors, to be adopted by the next start; SIGUSR1 interrupts them, as a cancel would.
    """
    import app.worker as process
    from app.cli import saying
    from app.settings import load

    settings = load()
    saying.name_misspelt(settings.log_format)
    process.main(settings)
