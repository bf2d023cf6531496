"""Shared by all tasks: settings, run key, parameters, time range, progress log, gate refusal.

Dates come from the parameters first: runs started manually or by an asset have neither a data
interval nor a logical date.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from contracts.errors import SettingError

if TYPE_CHECKING:
    from contracts.config.settings import Settings
    from training.run.gate import GateVerdict

TENTHS = 10
log = logging.getLogger("dags.tasks")


def context() -> Any:
    """Airflow's context of the running task."""
    from airflow.sdk import get_current_context

    return get_current_context()


def current_settings() -> "Settings":
    """The settings of the platform, as used by every command."""
    from contracts.config.settings import settings

    return settings()


def run_key() -> str:
    """Name of this run's directory: the same for all of its tasks and retries."""
    run = context()["dag_run"]
    return f"{run.dag_id}.{run.run_id}"


def parameter(name: str) -> Any:
    """A parameter of this run; None if it is not set."""
    return context()["params"].get(name)


def parse_us(text: str) -> int:
    """Parse a time in ISO 8601, UTC unless it has an offset, to µs. Raises SettingError."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise SettingError(
            f"{text!r} is not a time in ISO 8601",
            "write for example 2026-01-31 or 2026-01-31T12:00:00",
        ) from error
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def to_us(moment: datetime) -> int:
    """A time with a zone in µs."""
    return round(moment.timestamp() * 1e6)


def time_range(
    params: Mapping[str, Any], interval: tuple[datetime | None, datetime | None], now_us: int
) -> tuple[int | None, int]:
    """[from, to) in µs from the parameters, or else from the run's data interval.

    Without either, from is None (all data) and to is now.
    """
    start, end = (None if moment is None else to_us(moment) for moment in interval)
    first, last = params.get("from"), params.get("to")
    last_us = parse_us(last) if last else now_us if end is None else end
    return (parse_us(first) if first else start), last_us


def data_interval() -> tuple[datetime | None, datetime | None]:
    """The run's data interval; (None, None) if it was started manually or by an asset."""
    run = context()["dag_run"]
    return run.data_interval_start, run.data_interval_end


def log_progress(step: str, done: int, total: int) -> None:
    """Log progress, one line per tenth."""
    if done == total or done * TENTHS // total != (done - 1) * TENTHS // total:
        log.info("%s: %d of %d", step, done, total)


def refuse_unless_passed(verdict: "GateVerdict") -> None:
    """Skip the task, with all reasons, if the gate refused the model.

    A refusal is a valid result, not a failure, so it must not be retried.
    """
    if not verdict.gate_pass:
        from airflow.sdk.exceptions import AirflowSkipException

        raise AirflowSkipException(
            "refused by the gate, nothing registered: " + "; ".join(verdict.reasons)
        )
