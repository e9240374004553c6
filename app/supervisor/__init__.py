"""The small processes that carry out one phase of a run, and what a worker needs to talk to them.

A *spawner* (one for each worker) forks a *supervisor* for each phase.  The supervisor runs terraform in a sandbox and
has all the phase needs: the log, the masker, the way out, the state journal.  It knows no database and no queue, so
it can outlive its worker, and it imports nothing else of ours, so it starts in a millisecond.
"""
