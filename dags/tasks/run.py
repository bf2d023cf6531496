"""What every task needs of its run: key of the run folder, range of time, progress as log lines,
and how a refusal ends.

Dates come from the parameters first: runs by hand and by assets have neither interval nor logical
date.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from contracts.errors import SettingError

if TYPE_CHECKING:
    from contracts.config.settings import Settings
    from training.run.gate import Verdict

DAY_US = 86_400_000_000
TENTHS = 10
log = logging.getLogger("dags.tasks")


def context() -> Any:
    """Airflow's context of the task that runs."""
    from airflow.sdk import get_current_context

    return get_current_context()


def given() -> "Settings":
    """The settings, as for every command."""
    from contracts.config.settings import settings

    return settings()


def key() -> str:
    """Name of this run's folder: the same for each of its tasks, and for every try."""
    run = context()["dag_run"]
    return f"{run.dag_id}.{run.run_id}"


def parameter(name: str) -> Any:
    """A parameter of this run, None when it is empty."""
    return context()["params"].get(name)


def micros(text: str) -> int:
    """µs of a time in ISO 8601, UTC unless it says otherwise. Raises SettingError."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise SettingError(
            f"{text!r} is no time", "such as 2026-01-31 or 2026-01-31T12:00:00"
        ) from error
    return at_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def at_us(moment: datetime) -> int:
    """µs of a time that has a zone."""
    return round(moment.timestamp() * 1e6)


def span(
    params: Mapping[str, Any], interval: tuple[datetime | None, datetime | None], now_us: int
) -> tuple[int | None, int]:
    """[from, to) in µs: of the parameters, else of the run's interval, else everything up to now
    (from None).
    """
    start, end = (None if moment is None else at_us(moment) for moment in interval)
    first, last = params.get("from"), params.get("to")
    to_us = micros(last) if last else now_us if end is None else end
    return (micros(first) if first else start), to_us


def interval() -> tuple[datetime | None, datetime | None]:
    """The run's data interval; two None of a run by hand or by an asset."""
    run = context()["dag_run"]
    return run.data_interval_start, run.data_interval_end


def tell(step: str, done: int, total: int) -> None:
    """Progress as a line per tenth."""
    if done == total or done * TENTHS // total != (done - 1) * TENTHS // total:
        log.info("%s: %d of %d", step, done, total)


def refuse_unless_passed(verdict: "Verdict") -> None:
    """A refusal is an honest result: the task ends as skipped, with every reason, and is not tried
    again.
    """
    if not verdict.gate_pass:
        from airflow.sdk.exceptions import AirflowSkipException

        raise AirflowSkipException(
            "refused by the gate, nothing registered: " + "; ".join(verdict.reasons)
        )
