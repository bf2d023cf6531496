"""History: the same rendered SQL over silver in Flink batch mode, into gold.tick_features."""

from collections.abc import Callable

from contracts.settings import Settings
from feature_store import flink_rest, lakehouse, sql
from feature_store.flink import Program, submit
from feature_store.tables import FEATURE_NAMES, GOLD, SILVER

TIMEOUT_S = 3600.0
SECOND_US = 1_000_000


def program(settings: Settings, from_us: int, to_us: int) -> Program:
    """Features with row end in (from, to] µs, computed from ticks that begin `warmup_s` earlier."""
    views = [sql.View("accepted", accepted(from_us - settings.warmup_s * SECOND_US, to_us)), *sql.ladder("batch")]
    ddl = (lakehouse.flink_catalog(settings),)
    names = ", ".join(f"`{name}`" for name in FEATURE_NAMES)
    wanted = f"event_time > {_timestamp(from_us)} AND event_time <= {_timestamp(to_us)}"
    insert = f"INSERT INTO {lakehouse.CATALOG}.{GOLD} ({names}) SELECT {names} FROM ({sql.union_rows()}) WHERE {wanted}"
    return Program(
        "lakehouse-tick backfill",
        "batch",
        ddl,
        sql.named(views),
        (insert,),
        {"table.exec.resource.default-parallelism": str(settings.parallelism)},
    )


def accepted(from_us: int, to_us: int) -> str:
    """SELECT of the silver ticks in [from, to) µs with a plain timestamp: batch windows need no time attribute."""
    fields = "trade_id, price, size, side, seq, event_time_us, ingest_time_us"
    between = f"event_time >= {_timestamp(from_us)} AND event_time < {_timestamp(to_us)}"
    keyed = f"venue || ':' || symbol AS symbol, {fields}, CAST(event_time AS TIMESTAMP(3)) AS et"
    return f"SELECT {keyed} FROM {lakehouse.CATALOG}.{SILVER} WHERE {between}"


def silent(_step: str, _done: int, _total: int) -> None:
    """No display."""


def run(settings: Settings, from_us: int, to_us: int, progress: Callable[[str, int, int], None] = silent) -> None:
    """Recompute the range: what gold held for it is replaced. Raises JobError when Flink fails.

    Steps: 1. remove the range from gold; 2. compute and append it; a failure in between leaves the range empty, never mixed.
    """
    lakehouse.create(settings)
    lakehouse.delete_features(settings, from_us, to_us)
    progress("compute features", 0, 1)
    job_id = submit(settings, program(settings, from_us, to_us))
    flink_rest.wait(settings, job_id, TIMEOUT_S, lambda: progress("compute features", *flink_rest.tasks(settings, job_id)))
    progress("compute features", 1, 1)


def _timestamp(us: int) -> str:
    return f"TO_TIMESTAMP_LTZ({us // 1000}, 3)"
