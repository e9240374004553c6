"""A GitHub that strangers wrote: `emulate` of npm, run by Node, with a front of ours for the archives it lacks.

    with emulated() as github:
        github.start({"repos": [...], "apps": [...]})
        github.ask("POST", "/repos/acme/infra/pulls", {...})

What is vendored of it, and why, is in docs/decisions/0009.  It knows an App's tokens, webhooks, checks and
repositories; it does not list the files of a pull request.
"""
