"""The supervisor: one phase, from the first line of its log to its result."""

from __future__ import annotations

import os
import resource
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.supervisor import collect, control, disk, namespaces, sandbox, schemas, terraform
from app.supervisor.addresses import Rule
from app.supervisor.command import see_through
from app.supervisor.control import ControlDirectory
from app.supervisor.egress import Proxy, Record
from app.supervisor.masking import Masker
from app.supervisor.sandbox import SandboxFailure
from app.supervisor.spec import PLAN_FILE, Outcome, Reason, Result, Spec, Step
from app.supervisor.spool import Spool
from app.supervisor.state import StateUnavailable, WorkspaceState
from app.supervisor.stop import Stop, WorkerGone
from app.supervisor.upstream import Upstream

NO_CHANGES, CHANGES = 0, 2


def supervise(spec: Spec, line: socket.socket) -> None:
    """Carry out *spec*.  *line* leads to the worker: it hears that the phase has begun, and a plan ends with it."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    namespaces.prctl(namespaces.PR_SET_NAME, b"stateroom-phase")
    namespaces.adopt_orphans()
    directory = ControlDirectory(spec.directories.control)
    try:
        directory.claim(spec)
    except (control.Taken, OSError) as error:
        line.sendall(f"-{(disk.full(error) if isinstance(error, OSError) else None) or error}".encode())
        return
    _leave_the_workers_files(directory)
    outlives = spec.phase == "apply"
    stop = Stop(None if outlives else line, time.monotonic() + spec.limits.seconds)
    stop.listen()
    line.sendall(b"+")
    if outlives:
        line.close()
    phase = Phase(spec, directory, stop)
    try:
        directory.finish(phase.carry_out())
    except WorkerGone:
        directory.note("worker gone")
    except Exception:
        directory.note("crash", trace=traceback.format_exc())
        raise
    finally:
        _reap()


def _leave_the_workers_files(directory: ControlDirectory) -> None:
    """Let go of the worker's stdin, stdout and stderr: who waits for their end must not wait for an apply."""
    nothing = os.open("/dev/null", os.O_RDWR)
    words = os.open(directory.path / control.STDERR, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, standard in ((nothing, 0), (nothing, 1), (words, 2)):
        os.dup2(descriptor, standard)
    os.close(nothing)
    os.close(words)


class Phase:
    def __init__(self, spec: Spec, directory: ControlDirectory, stop: Stop) -> None:
        self._spec, self._directory, self._stop = spec, directory, stop
        masker = Masker((*spec.secrets, spec.token))
        self._spool = Spool(directory.path, masker, room=spec.limits.log - spec.log_offset, reserve=directory.reserve)
        self._record = Record(directory.path / control.EGRESS, masker.whole)
        self._rule = Rule(spec.egress.allow, spec.egress.private)
        self._api = Upstream(spec.api_url, spec.ca_file)
        self._state = WorkspaceState(spec, stop, directory.path)
        self._steps: list[Step] = []
        self._sandbox: sandbox.Sandbox | None = None

    def carry_out(self) -> Result:
        if not self._spec.headed:
            self._spool.write(terraform.header(self._spec).encode())
        for sentence in (*self._spec.remarks, *terraform.refused(self._spec.environment)):
            self._spool.say(sentence)
        try:
            result = self._prepare_and_run()
        except StateUnavailable as error:
            result = self._failed("state", str(error))
        except SandboxFailure as error:
            result = self._failed("sandbox", str(error))
        except OSError as error:
            if (full := disk.full(error)) is None:
                raise
            result = self._failed("disk", full)
        finally:
            left = self._sandbox.close() if self._sandbox is not None else None
        if left:
            self._spool.say(f"\n{left}")
        return self._complete(result)

    def _prepare_and_run(self) -> Result:
        self._state.fetch()
        self._sandbox = sandbox.for_spec(self._spec)
        self._sandbox.open()
        if self._stop.interrupted:
            return Result("errored")
        steps = self._plan if self._spec.phase == "plan" else self._apply
        code = self._terraform("init", terraform.init())
        if code or self._stop.interrupted:
            return Result("errored")
        return steps(self._sandbox.inside)

    def _plan(self, inside: sandbox.Inside) -> Result:
        code = self._terraform("plan", terraform.plan(self._spec.options, inside))
        if code not in (NO_CHANGES, CHANGES):
            result, is_shown = Result("errored"), self._has_generated()
        else:
            result = Result("finished", has_changes=code == CHANGES)
            is_shown = code == CHANGES or self._spec.options.show_unchanged
        return self._with_documents(result, inside) if is_shown and not self._stop.interrupted else result

    def _has_generated(self) -> bool:
        """Whether a plan that failed holds configuration somebody asked for."""
        return self._spec.options.generates and collect.exists_inside(self._spec.directories.out, PLAN_FILE)

    def _apply(self, inside: sandbox.Inside) -> Result:
        code = self._terraform("apply", terraform.apply(self._spec.options, inside), began=self._state.watch)
        return Result("errored" if code else "finished")

    def _with_documents(self, result: Result, inside: sandbox.Inside) -> Result:
        """The plan as JSON and the schemas to read it by, as files in the control directory."""
        plan_json = self._document("show", terraform.show(inside), control.PLAN_JSON)
        cache = schemas.kept(self._spec)
        found = schemas.take(self._spec, cache)
        if found is None:
            found = self._document("schemas", terraform.schemas(), control.SCHEMAS)
            if found is not None:
                schemas.keep(cache, found)
        return replace(result, plan_json=str(plan_json) if plan_json else None, schemas=str(found) if found else None)

    def _document(self, name: str, arguments: list[str], file_name: str) -> Path | None:
        """What terraform prints, in a file; None if it failed or was too long, which is said in the log."""
        path, room = self._directory.path / file_name, self._spec.limits.document
        with open(path, "xb") as file:

            def keep(chunk: bytes) -> None:
                if file.tell() + len(chunk) <= room + 1:
                    file.write(chunk)
                elif file.tell() <= room:
                    file.write(chunk[: room + 1 - file.tell()])

            code = self._terraform(name, arguments, document=keep)
            length = file.tell()
        if code == 0 and length <= room:
            return path
        path.unlink()
        if not self._stop.interrupted:
            self._spool.say(f"The output of terraform {arguments[0]} could not be kept.")
        return None

    def _terraform(
        self,
        name: str,
        arguments: list[str],
        *,
        document: Callable[[bytes], None] | None = None,
        began: Callable[[], None] = lambda: None,
    ) -> int:
        """One command of terraform's, seen through; its exit code."""
        assert self._sandbox is not None
        start, proxies = time.monotonic(), list[Proxy]()
        running = self._sandbox.start(
            arguments,
            terraform.environment(self._spec, self._sandbox.inside),
            lambda listener: proxies.append(self._proxy(listener)),
            document=document is not None,
        )
        set_up = time.monotonic() - start
        try:
            began()
            code = see_through(running, self._stop, self._spool.write, grace=self._spec.limits.grace, document=document)
        finally:
            for proxy in proxies:
                proxy.close()
        self._spool.flush()
        step = Step(name, code, round(time.monotonic() - start, 4), round(set_up, 4))
        self._steps.append(step)
        self._directory.note("step", name=name, exit_code=code, seconds=step.seconds, set_up=step.set_up)
        return code

    def _proxy(self, listener: socket.socket) -> Proxy:
        return Proxy(listener, self._api, self._rule, self._record, self._spec.egress.signed_prefixes)

    def _failed(self, reason: Reason, message: str) -> Result:
        self._spool.say(f"\nError: {message}")
        return Result("errored", reason, message)

    def _complete(self, result: Result) -> Result:
        """*result* with all that is known only at the end."""
        if self._stop.interrupted and (result.outcome != "finished" or self._is_late_plan):
            result = self._ended_early(result)
        elif result.outcome == "errored" and not result.message and disk.is_full(self._directory.path):
            result = self._failed("disk", f"terraform {self._steps[-1].name} failed on a full disk. {disk.FREE}")
        state = self._state.save()
        if state.left:
            self._spool.say(f"\nThe state of this run could not be saved yet: {state.why} It is kept on the worker.")
        self._spool.end()
        return replace(
            result,
            message=result.message or self._spool.trouble,
            steps=tuple(self._steps),
            interrupted=self._stop.interrupted,
            killed=self._stop.killed,
            masked=self._spool.masked,
            hosts=tuple(sorted(self._record.hosts)),
            log_length=self._spool.length,
            state=state,
        )

    @property
    def _is_late_plan(self) -> bool:
        """Terraform finishes what it computes before it heeds an interrupt; such a plan must not apply by itself."""
        return self._stop.reason == "timed-out" and self._spec.phase == "plan"

    def _ended_early(self, result: Result) -> Result:
        reason = self._stop.reason
        messages = {
            "timed-out": self._timed_out(),
            "token-refused": "Stateroom no longer accepts this run's token, so it was interrupted.",
            "killed": "Terraform was ended before it could finish.",
        }
        message = messages.get(reason, "")
        if message:
            self._spool.say(f"\n{message}")
        outcome: Outcome = "errored" if reason == "timed-out" else "canceled"
        return replace(result, outcome=outcome, reason=reason, message=message)

    def _timed_out(self) -> str:
        phase = self._spec.phase
        stuck = (
            " It was in `terraform init`: what the providers or modules come from may not have answered."
            if self._steps and self._steps[-1].name == "init"
            else ""
        )
        return (
            f"This {phase} took longer than it may, {_hours(self._spec.limits.seconds)}, and was interrupted.{stuck}"
            f" If it needs more time, raise STATEROOM_{phase.upper()}_TIMEOUT, or the organization's {phase}-timeout."
        )


def _hours(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def _reap() -> None:
    """Take in whatever was left to us, bwrap's child above all."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.002)
