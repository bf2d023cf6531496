"""Tasks over days of ticks: features chunk by chunk, and the daily statistics."""

from collections.abc import Iterable
from typing import Any

from contracts.durations import DAY_US
from dags.tasks.task_context import (
    context,
    current_settings,
    data_interval,
    log,
    log_progress,
    parameter,
    time_range,
)

Chunk = dict[str, int]


def whole_days(from_us: int | None, to_us: int) -> tuple[int, int]:
    """The range in whole days; by default the day before `to`.

    An interval from 01:15 to 01:15 means the day on which it begins.
    """
    end_us = to_us // DAY_US * DAY_US
    return (end_us - DAY_US if from_us is None else from_us // DAY_US * DAY_US), end_us


def _range() -> tuple[int, int]:
    from contracts.clock import now_us

    params = context()["params"]
    from_us, to_us = time_range(params, data_interval(), now_us())
    return (
        (from_us, to_us)
        if from_us is not None and params.get("from") and params.get("to")
        else whole_days(from_us, to_us)
    )


def plan_chunks() -> list[Chunk]:
    """Split the range into chunks, one task each. Raises DatasetError for an invalid length."""
    from feature_store.backfill import chunks
    from lakehouse.tables import Lakehouse

    from_us, to_us = _range()
    length_us = chunks.length_us(Lakehouse(current_settings()), parameter("chunk"), from_us, to_us)
    return [
        {"from_us": chunk.from_us, "to_us": chunk.to_us}
        for chunk in chunks.split(from_us, to_us, length_us)
    ]


def backfill_chunk(chunk: Chunk) -> dict[str, Any]:
    """Compute the features of one chunk into gold, unless they are up to date.

    Raises JobError if Flink could not compute them.
    """
    from contracts.errors import JobError
    from feature_store.backfill import run as backfill

    first, last = chunk["from_us"], chunk["to_us"]
    # Longer than the chunk, so that it is not split again at a multiple of its length.
    done = backfill.run(
        current_settings(),
        first,
        last,
        log_progress,
        parameter("symbols") or None,
        chunk_us=last + DAY_US,
    )
    if done.failed:
        raise JobError(
            "; ".join(f"{part}: {error}" for part, error in done.failed.items()),
            "make sure that Flink is running: `tick up`",
        )
    return {
        "rows": done.rows,
        "ticks": done.ticks,
        "unchanged": len(done.unchanged),
        "holes": done.holes,
    }


def report_holes(reports: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Log the days without ticks by symbol, over all chunks."""
    from training.run.provenance import iso

    chunks = list(reports)
    holes: dict[str, list[str]] = {}
    for report in chunks:
        for symbol, missing in report["holes"].items():
            holes.setdefault(symbol, []).extend(iso(day)[:10] for day in missing)
    for symbol, dates in holes.items():
        log.warning("%s has no ticks on %s", symbol, ", ".join(dates))
    rows = sum(report["rows"] for report in chunks)
    return {"rows": rows, "chunks": len(chunks), "holes": holes}


def compute_statistics() -> dict[str, Any]:
    """Write volatility, volume profile and correlation to the lakehouse, and plots to MLflow."""
    from contracts.clock import now_us
    from training.daily_stats.compute import compute_days
    from training.daily_stats.publish import publish_report

    from_us, to_us = _range()
    symbols, at_us = parameter("symbols") or None, now_us()
    report = compute_days(current_settings(), from_us, to_us, symbols, log_progress, at_us)
    return {
        "run_id": publish_report(current_settings(), report, at_us, symbols),
        "days": report.days,
        "holes": report.holes,
        "rows": report.rows,
    }
