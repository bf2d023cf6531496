"""Resumes the live job after a crash of the JobManager, which then lists no job any more.

It acts only on a job that was started and neither stopped by a person (`tick job stop`) nor ended
with Flink (`tick down`), and only if Flink responds and has no job of that name, in any state: a
job that FAILED or was cancelled in Flink's page is left to a person.
"""

import os
import subprocess
import sys
from pathlib import Path

import structlog

from contracts import live_job
from contracts.config.settings import Settings
from contracts.errors import JobError
from feature_store.flink import rest as flink_rest
from stack.process.restarts import Decision, RestartBudget
from streaming.job import intent, states
from streaming.job.intent import JobIntent

REST_TIMEOUT_S = 2.0
TICK = (sys.executable, "-m", "cli.main")

log = structlog.get_logger("supervisor")


class JobKeeper:
    """Starts `tick job resume` in a child process, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budget = RestartBudget(settings)
        self._next_look_s = 0.0
        self._gave_up = False
        self._child: subprocess.Popen[bytes] | None = None

    def step(self, now_s: float) -> None:
        """Look, every supervise_job_poll_s, whether the job must be resumed; `now_s` is a time of
        the monotonic clock.
        """
        if now_s < self._next_look_s or self._is_resuming():
            return
        self._next_look_s = now_s + self._settings.supervise_job_poll_s
        wanted = intent.read(self._settings)
        if wanted is None or wanted.stopped or not self._is_lost():
            return
        decision = self._budget.decide(now_s)
        if decision is Decision.RESTART:
            self._budget.record_restart(now_s)
            self._resume(wanted)
        elif decision is Decision.GIVE_UP and not self._gave_up:
            log.error("the live job FAILED: it is not resumed any more", hint="`tick job resume`")
        self._gave_up = decision is Decision.GIVE_UP

    def _is_resuming(self) -> bool:
        if self._child is None:
            return False
        exit_code = self._child.poll()
        if exit_code is not None:
            log.info("`tick job` ended", exit_code=exit_code)
            self._child = None
        return exit_code is None

    def _is_lost(self) -> bool:
        """Whether Flink responds and knows no job of that name."""
        try:
            jobs = flink_rest.jobs(self._settings, REST_TIMEOUT_S)
        except JobError:  # Flink is down, or starts: unknown
            return False
        return all(job["name"] != live_job.NAME for job in jobs)

    def _resume(self, wanted: JobIntent) -> None:
        """Continue the lost job, not an older one: from its newest checkpoint, else from the state
        that it was started from, else without state, as it was started.
        """
        state = states.newest_checkpoint_of(self._settings, wanted.job_id)
        if state is None and wanted.restored is not None:
            state = Path(wanted.restored.removeprefix("file://"))
        arguments = ("resume", "--state", str(state)) if state else ("submit", "--fresh")
        log.warning("the live job is lost; starting it", job_id=wanted.job_id, command=arguments)
        self._child = subprocess.Popen(
            [*TICK, "job", *arguments, "--alone"], stdin=subprocess.DEVNULL, env=os.environ
        )
