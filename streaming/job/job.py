"""The live job: Kafka `ticks` → silver, dead letters, features on Kafka and in gold; `predictions`
→ gold; submit, stop, resume.

ONE Flink job, SQL only. Everything that defines a feature comes from `feature_store.sql`; this file
only wires tables.
"""

from pathlib import Path
from typing import Any

from contracts import live_job
from contracts.config.settings import Settings
from contracts.errors import JobError
from contracts.windows import LEVELS
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import RECOVERY_PATH, FinishedReaderError, Program, submit
from feature_store.sql import windows
from lakehouse import tables
from lakehouse.schemas import FEATURE_NAMES, GOLD_LIVE, SILVER, TICK_NAMES
from streaming.job import restore as job_restore
from streaming.job import states as job_states
from streaming.job import tables as job_tables
from streaming.job import warmup

NAME = live_job.NAME
STOP_TIMEOUT_S = 120.0
RUNNING_TIMEOUT_S = 90.0


def program(settings: Settings, restore: str | None = None) -> Program:
    """The whole job as text; `restore` is a checkpoint or savepoint folder to continue from."""
    sinks = [
        job_tables.dead_letter_sink(settings),
        job_tables.heartbeat_sink(settings),
        *(job_tables.features_sink(settings, lv) for lv in LEVELS),
    ]
    views = [
        job_tables.heard(),
        job_tables.accepted(),
        *job_tables.dead_letters(),
        *windows.ladder("stream"),
    ]
    sources = [
        job_tables.wire(settings),
        job_tables.wire_warm(settings),
        job_tables.wire_raw(settings),
        job_tables.served(settings),
    ]
    ddl = [tables.flink_catalog(settings), *sources, *sinks]
    inserts = [silver_insert(), job_tables.dead_letter_insert(), job_tables.heartbeat_insert()]
    inserts += [job_tables.features_insert(level) for level in LEVELS]
    inserts.append(tables.insert(GOLD_LIVE, FEATURE_NAMES, windows.union_rows(), tables.NO_SHUFFLE))
    inserts.append(job_tables.served_insert())
    return Program(
        NAME,
        "stream",
        tuple(ddl),
        windows.named(views),
        tuple(inserts),
        settings.parallelism,
        options(settings) | ({RECOVERY_PATH: restore} if restore else {}),
        live_job.BOUNDED,
    )


def silver_insert() -> str:
    """Every accepted tick, late ones too."""
    names = ", ".join("et" if name == "event_time" else name for name in TICK_NAMES)
    return tables.insert(
        SILVER, TICK_NAMES, f"SELECT {names} FROM heard WHERE NOT beat", tables.NO_SHUFFLE
    )


def options(settings: Settings) -> dict[str, str]:
    """Freshness and recovery: small buffers, frequent watermarks, exactly-once checkpoints."""
    return {
        # Without this every sink plans and runs a copy of the whole ladder of its own.
        "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_s * 1000:.0f} ms",
        "execution.checkpointing.min-pause": "500 ms",
        "execution.checkpointing.timeout": "2 min",
        "execution.checkpointing.tolerable-failed-checkpoints": "10",
        # An option of the job: in the cluster's config.yaml it has no effect, and a JobManager that
        # is stopped in order (`tick down`) deletes every checkpoint.
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # The first checkpoint of a resumed job is complete in itself: what it was restored from may
        # then be deleted, see job_states.prune.
        "execution.state-recovery.claim-mode": "NO_CLAIM",
        "pipeline.auto-watermark-interval": "50 ms",
        "execution.buffer-timeout.interval": "30 ms",
    }


def start(settings: Settings, restore: str | None = None) -> str:
    """Submit, wait until every task runs, delete old states; returns the job id. A running job is
    left alone.

    Raises JobError; see `await_start` for what becomes of the job then.
    """
    if job_id := flink_rest.running(settings, NAME):
        return job_id
    tables.create(settings)
    job_id = submit(settings, program(settings, restore))
    await_start(settings, job_id)
    job_states.prune(settings, restore)
    return job_id


def await_start(settings: Settings, job_id: str, timeout_s: float = RUNNING_TIMEOUT_S) -> None:
    """Wait until every task of a submitted job runs.

    Raises JobError. A job that failed to come up is cancelled then, e.g. one whose state does not
    fit the plan: Flink would restart it, and `start` would take it for a running job. One that is
    slow or that Flink's REST gives no answer about is left alone.
    """
    try:
        flink_rest.wait_running(settings, job_id, timeout_s)
    except flink_rest.StartError as error:
        try:
            flink_rest.cancel(settings, job_id)
        except JobError as refusal:
            raise error from refusal
        raise


def submit_fresh(settings: Settings, now_us: int) -> str:
    """Start without state: warm-up messages first, then the job; returns the job id. A running job
    is left alone.
    """
    if job_id := flink_rest.running(settings, NAME):
        return job_id
    tables.create(settings)
    warmup.publish(settings, now_us)
    return start(settings)


def stop(settings: Settings) -> str:
    """Stop with a savepoint; returns its folder. Raises JobError when no job runs."""
    return flink_rest.stop_with_savepoint(settings, _running(settings), STOP_TIMEOUT_S)


def resume(settings: Settings, state: Path | None = None) -> str:
    """Continue from `state`, by default the newest complete checkpoint or savepoint.

    Raises JobError when there is none, and when a reader had finished in it.
    """
    chosen = state or job_states.newest_state(settings)
    if chosen is None:
        raise JobError(
            "there is no checkpoint or savepoint to resume from",
            "start afresh with `tick job submit`",
        )
    try:
        return start(settings, f"file://{chosen}")
    except FinishedReaderError as error:
        raise job_restore.explain(settings, error, chosen) from error


def status(settings: Settings) -> dict[str, Any]:
    """State, age, restarts, checkpoints and record counts of the newest live job; empty when there
    never was one.
    """
    own = [job for job in flink_rest.jobs(settings) if job["name"] == NAME]
    if not own:
        return {}
    checkpoints = flink_rest.call(settings, f"/jobs/{own[0]['jid']}/checkpoints")
    newest = (checkpoints.get("latest") or {}).get("completed") or {}
    return {
        "job_id": own[0]["jid"],
        "state": own[0]["state"],
        "running_s": int(own[0]["duration"]) // 1000,
        "checkpoints": checkpoints.get("counts", {}).get("completed", 0),
        "checkpoint_ms": newest.get("end_to_end_duration"),
        "state_bytes": newest.get("state_size"),
    }


def _running(settings: Settings) -> str:
    job_id = flink_rest.running(settings, NAME)
    if job_id is None:
        raise JobError(
            "the live job is not running", "start it with `tick job submit` or `tick job resume`"
        )
    return job_id
