"""Replaces the running job by another one, and starts its own program again if that fails."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from contracts.config.settings import Settings
from contracts.errors import JobError, TickError
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program, Submitter
from lakehouse import leases
from streaming.job import intent, job, offsets, states, stored_program, warmup
from streaming.upgrade import stretch

HOLDER = "an upgrade of the live job"
END_TIMEOUT_S = 60.0
HINT = "the old job reads on; see `tick job status`, `tick logs taskmanager`"
NOT_STORED = (
    "the live job was started by a version that did not store its program, so that a failed upgrade"
    " could not start it again",
    "once, without a comparison: `tick job stop`, then `tick job submit --fresh`",
)

log = structlog.get_logger("streaming")


@dataclass(frozen=True, slots=True)
class Running:
    """The running job and the program that it was submitted with."""

    job_id: str
    program: Program


def running_job(settings: Settings, child: Submitter, *, start: bool) -> Running:
    """The running live job.

    One that was stopped with a savepoint, e.g. by an upgrade that was killed, is first continued
    with its own program if `start`. Raises JobError if there is none, or its program is unknown.
    """
    if job_id := flink_rest.running_job(settings, job.NAME):
        return Running(job_id, _stored(settings, job_id))
    stopped = intent.read(settings)
    if not start or stopped is None or stopped.savepoint is None:
        raise JobError("the live job is not running", "start it: `tick job resume`")
    program = _stored(settings, stopped.job_id)
    with leases.lease(settings, leases.LIVE_JOB, holder=HOLDER):
        job_id = job.launch(settings, program.starting_from(stopped.savepoint), child)
    return Running(job_id, program)


def _stored(settings: Settings, job_id: str) -> Program:
    program = stored_program.read(settings, job_id)
    if program is None:
        raise JobError(*NOT_STORED)
    return program


def cut_over(
    settings: Settings, child: Submitter, old: Running, start: Callable[[str], str]
) -> str:
    """Stop the old job with a savepoint, `start` the new one after it; returns the new job's id.

    The new job counts as started when its first checkpoint is complete, because only then it has
    written to silver. Until then every failure, also Ctrl-C, starts the old program again. Raises
    JobError in that case.
    """
    with leases.lease(settings, leases.LIVE_JOB, holder=HOLDER) as held:
        savepoint = None
        try:
            savepoint = job.stop(settings)
            held.require()
            job_id = start(savepoint)
            stretch.await_checkpoints(settings, job_id, 1)
        except BaseException as error:
            restarted = _fall_back(settings, child, old, savepoint)
            if isinstance(error, TickError):
                raise _refused(error, restarted) from error
            raise
        return job_id


def _refused(error: TickError, job_id: str) -> JobError:
    return JobError(f"the upgrade failed, and the old program runs as {job_id}:\n{error}", HINT)


def _fall_back(settings: Settings, child: Submitter, old: Running, savepoint: str | None) -> str:
    """Make the old program run; returns its job id.

    A new job that completed no checkpoint has written nothing to silver: the old program continues
    from its savepoint. Otherwise that would write ticks twice, so it starts without state where the
    new job's newest checkpoint ends.
    """
    newest = next((j for j in flink_rest.jobs(settings) if j["name"] == job.NAME), None)
    new_id = None if newest is None or newest["jid"] == old.job_id else str(newest["jid"])
    if new_id is None and flink_rest.running_job(settings, job.NAME) == old.job_id:
        return old.job_id  # it was not stopped
    log.warning("the upgrade failed; starting the old program again", savepoint=savepoint)
    if new_id is not None:
        _end(settings, new_id)
        if stretch.completed_checkpoints(settings, new_id):
            return start_fresh(settings, child, old.program, _newest_of(settings, new_id))
    state = savepoint or _newest_of(settings, old.job_id)
    return job.launch(settings, old.program.starting_from(state), child)


def _newest_of(settings: Settings, job_id: str) -> str:
    state = states.newest_checkpoint_of(settings, job_id)
    if state is None:
        raise JobError(f"job {job_id} has left no state", "`tick job submit --fresh`")
    return f"file://{state}"


def _end(settings: Settings, job_id: str) -> None:
    with suppress(JobError):  # it may have ended already
        flink_rest.cancel(settings, job_id)
    flink_rest.wait_for_end(settings, job_id, time.monotonic() + END_TIMEOUT_S)


def start_fresh(settings: Settings, child: Submitter, program: Program, state: str) -> str:
    """Start a program without state where the state at this URI ends; returns the job id.

    Raises JobError, ServiceError.
    """
    offsets.advance(settings, child.reader_offsets(state))
    warmup.publish(settings, stretch.warmup_end_us(settings))
    return job.launch(settings, program, child)
