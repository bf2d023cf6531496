"""The live job: submit, stop, resume, and the program that it runs.

One Flink job, SQL only. It reads `ticks` and writes silver, dead letters, and features to Kafka and
gold; it also copies `predictions` into gold. Features are defined in `feature_store.sql`; this file
only connects tables.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from contracts import live_job
from contracts.config.groups.flink import FlinkSettings
from contracts.config.settings import Settings
from contracts.errors import JobError
from contracts.windows import LEVELS
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import (
    RECOVERY_PATH,
    FinishedReaderError,
    Program,
    Submitter,
)
from feature_store.sql import windows
from lakehouse import leases, tables
from lakehouse.schemas import FEATURE_NAMES, GOLD_LIVE, SILVER, TICK_NAMES
from lakehouse.tables import Lakehouse
from streaming.job import intent, offsets, states, stored_program, validation_sql, warmup
from streaming.job import restore as job_restore
from streaming.job import skipped as skipped_messages
from streaming.job import tables as job_tables
from streaming.job.offsets import submit

NAME = live_job.NAME
STOP_TIMEOUT_S = 120.0
LOCAL = re.compile("^file:/+")  # Flink says `file:/savepoints/…`, the states here `file:///…`
RUNNING_TIMEOUT_S = 90.0

log = structlog.get_logger("streaming")
OnRunning = Callable[[str], None]  # called with the id of a job that is already running


def ignore(_job_id: str) -> None:
    """The default of `on_running`."""


def program(settings: Settings, restore: str | None = None) -> Program:
    """The SQL of the whole job; `restore` is a checkpoint or savepoint folder to continue from."""
    skipped = skipped_messages.read(settings)
    sinks = [
        job_tables.dead_letter_sink(settings),
        job_tables.heartbeat_sink(settings),
        *(job_tables.features_sink(settings, lv) for lv in LEVELS),
    ]
    views = [
        job_tables.valid_messages(skipped),
        job_tables.windowed_ticks(),
        *validation_sql.dead_letter_views(skipped),
        *windows.ladder("stream"),
    ]
    sources = [
        job_tables.ticks_source(settings, skipped),
        job_tables.warmup_source(settings),
        job_tables.raw_source(settings),
        job_tables.predictions_source(settings),
    ]
    ddl = [Lakehouse(settings).flink_catalog(), *sources, *sinks]
    inserts = [silver_insert(), job_tables.dead_letter_insert(), job_tables.heartbeat_insert()]
    inserts += [job_tables.features_insert(level) for level in LEVELS]
    inserts.append(tables.insert(GOLD_LIVE, FEATURE_NAMES, windows.union_rows(), tables.NO_SHUFFLE))
    inserts.append(job_tables.predictions_insert())
    planned = Program(
        NAME,
        "stream",
        tuple(ddl),
        windows.to_pairs(views),
        tuple(inserts),
        settings.parallelism,
        options(settings),
        live_job.ENDING_READERS,
    )
    return planned.starting_from(restore)


def silver_insert() -> str:
    """The insert of every accepted tick, including late ones."""
    names = ", ".join("et" if name == "event_time" else name for name in TICK_NAMES)
    return tables.insert(
        SILVER,
        TICK_NAMES,
        f"SELECT {names} FROM valid_messages WHERE NOT is_heartbeat",
        tables.NO_SHUFFLE,
    )


def options(settings: FlinkSettings) -> dict[str, str]:
    """Options for freshness and recovery: small buffers, frequent watermarks, checkpoints."""
    return {
        # Without this, every sink plans and runs its own copy of the whole feature ladder.
        "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_s * 1000:.0f} ms",
        "execution.checkpointing.min-pause": "500 ms",
        "execution.checkpointing.timeout": "2 min",
        "execution.checkpointing.tolerable-failed-checkpoints": "10",
        # Must be set per job: it has no effect in the cluster's config.yaml, and without it a
        # JobManager that shuts down cleanly (`tick down`) deletes every checkpoint.
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # The first checkpoint of a resumed job is self-contained, so the state that it was restored
        # from may then be deleted (states.prune).
        "execution.state-recovery.claim-mode": "NO_CLAIM",
        "pipeline.auto-watermark-interval": "50 ms",
        "execution.buffer-timeout.interval": "30 ms",
    }


def start(settings: Settings, restore: str | None = None, *, on_running: OnRunning = ignore) -> str:
    """Submit the job, wait until every task runs, delete old states; returns the job id.

    If the job is already running, or another process is starting it, changes nothing: calls
    `on_running` with its id and returns that. Raises JobError; `await_start` describes what happens
    to the job in that case.
    """
    return _start_alone(settings, restore, lambda: None, on_running)


def _start_alone(
    settings: Settings, restore: str | None, prepare: Callable[[], Any], on_running: OnRunning
) -> str:
    """Two jobs at once would write every tick twice, and Flink lists a job only when it is planned.

    Therefore the lease is held from the question whether one runs until all of its tasks run. The
    first question, without the lease, spares a running platform the wait and the commits.
    """
    if job_id := flink_rest.running_job(settings, NAME):
        on_running(job_id)
        return job_id
    with leases.lease(settings, leases.LIVE_JOB, holder="a start of the live job") as held:
        if job_id := flink_rest.running_job(settings, NAME):
            on_running(job_id)
            return job_id
        Lakehouse(settings).create()
        prepare()
        held.require()
        return launch(settings, program(settings, restore))


def launch(settings: Settings, planned: Program, child: Submitter | None = None) -> str:
    """Submit a program of the live job and wait until every task runs; returns the job id.

    The caller holds the lease. `child` is a running submitter. Raises JobError.
    """
    restore = planned.options.get(RECOVERY_PATH)
    job_id = submit(settings, planned, child)
    intent.record_start(settings, job_id, restore)
    stored_program.record(settings, job_id, planned)
    await_start(settings, job_id)
    states.prune(settings, restore)
    return job_id


def await_start(settings: FlinkSettings, job_id: str, timeout_s: float = RUNNING_TIMEOUT_S) -> None:
    """Wait until every task of a submitted job runs.

    Raises JobError. A job that failed to start is cancelled first, e.g. one whose state does not
    fit the plan: otherwise Flink would keep restarting it, and `start` would take it for a running
    job. A job that is only slow, or whose state Flink's REST does not return, is left running.
    """
    try:
        flink_rest.wait_running(settings, job_id, timeout_s)
    except flink_rest.StartError as error:
        try:
            flink_rest.cancel(settings, job_id)
        except JobError as cancel_error:
            raise error from cancel_error
        raise


def submit_fresh(settings: Settings, now_us: int, *, on_running: OnRunning = ignore) -> str:
    """Start without state, on warm-up messages published first; returns the job id.

    A job that is running or being started is treated as in `start`.
    """
    return _start_alone(settings, None, lambda: _prepare_fresh(settings, now_us), on_running)


def _prepare_fresh(settings: Settings, now_us: int) -> None:
    """Continue where the savepoint of the last stop ends, and warm up to there."""
    last = intent.read(settings)
    if last is not None and last.savepoint is not None:
        try:
            with Submitter(settings) as child:
                offsets.advance(settings, child.reader_offsets(last.savepoint))
        except JobError as error:  # e.g. it was deleted
            log.warning("the job starts from the committed offsets", error=error.message)
    warmup.publish(settings, now_us)


def stop(settings: FlinkSettings) -> str:
    """Stop with a savepoint; returns its folder. Raises JobError when no job runs."""
    job_id = _running(settings)
    with intent.stopping(settings, job_id):
        location = flink_rest.stop_with_savepoint(settings, job_id, STOP_TIMEOUT_S)
    savepoint = LOCAL.sub("file:///", location)
    intent.record_savepoint(settings, job_id, savepoint)
    return savepoint


def resume(settings: Settings, state: Path | None = None, *, on_running: OnRunning = ignore) -> str:
    """Continue from `state`, by default the newest complete checkpoint or savepoint.

    A job that is running or being started is treated as in `start`.
    Raises JobError if there is none, or if a reader that must run had finished in it.
    """
    chosen = state or states.newest_state(settings)
    if chosen is None:
        raise JobError(
            "there is no checkpoint or savepoint to resume from",
            "start without state: `tick job submit`",
        )
    try:
        return start(settings, f"file://{chosen}", on_running=on_running)
    except FinishedReaderError as error:
        raise job_restore.explain(settings, error, chosen) from error


def status(settings: FlinkSettings) -> dict[str, Any]:
    """State, age and checkpoints of the newest live job; empty if none was ever submitted."""
    jobs = [job for job in flink_rest.jobs(settings) if job["name"] == NAME]
    if not jobs:
        return {}
    newest = jobs[0]
    checkpoints = flink_rest.call(settings, f"/jobs/{newest['jid']}/checkpoints")
    completed = _last_completed(checkpoints)
    return {
        "job_id": newest["jid"],
        "state": newest["state"],
        "running_s": int(newest["duration"]) // 1000,
        "checkpoints": checkpoints.get("counts", {}).get("completed", 0),
        "checkpoint_ms": completed.get("end_to_end_duration"),
        "state_bytes": completed.get("state_size"),
    }


def _last_completed(checkpoints: dict[str, Any]) -> dict[str, Any]:
    """The newest complete checkpoint; Flink returns null before the first one."""
    latest = checkpoints.get("latest") or {}
    return latest.get("completed") or {}


def _running(settings: FlinkSettings) -> str:
    job_id = flink_rest.running_job(settings, NAME)
    if job_id is None:
        raise JobError(
            "the live job is not running", "start it with `tick job submit` or `tick job resume`"
        )
    return job_id
