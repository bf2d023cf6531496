"""Power tables of the lakehouse: deduplicated readings in silver, forecasts by day and series,
actuals.
"""

from dataclasses import dataclass

import polars as pl
from pyiceberg.expressions import And, BooleanExpression, EqualTo
from pyiceberg.io.pyarrow import schema_to_pyarrow

from contracts.durations import DAY_US
from contracts.tick import EVENT_TIME_US_MIN
from lakehouse import leases, tables
from lakehouse.daily import TIME_US_MAX, overwrite
from lakehouse.schemas import COLUMNS_OF, POWER, POWER_FORECASTS
from lakehouse.tables import Lakehouse

READING_KEY = ("event_time_us", "series")


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of a load: new ones, ones whose value was corrected, ones that silver already had."""

    added: int
    corrected: int
    already: int


def store(lake: Lakehouse, rows: pl.DataFrame) -> Stored:
    """Upsert readings into silver in one commit.

    `rows`: event_time_us, series, value_kw, source, known_at_us; one row per time and series. A
    differing value replaces the stored one. Loading the same rows again changes nothing and creates
    no snapshot. Two loads that read a day before either writes it would lose the rows of one, so
    the second waits. Raises LeaseError when the first still runs after `lease_wait_s`.
    """
    lake.create()
    with leases.lease(lake.settings, leases.POWER, holder="a load of power readings"):
        return _store(lake, rows)


def _store(lake: Lakehouse, rows: pl.DataFrame) -> Stored:
    first, last = _span(rows)
    stored = readings(lake, first, last)
    stored_values = stored.select(*READING_KEY, pl.col("value_kw").alias("stored_kw"))
    compared = rows.join(
        stored_values, on=list(READING_KEY), how="left", maintain_order="left"
    ).with_columns(
        (pl.col("stored_kw").is_null()).alias("is_new"),
        (pl.col("stored_kw") != pl.col("value_kw")).fill_null(value=False).alias("is_corrected"),
    )
    changed = compared.filter(pl.col("is_new") | pl.col("is_corrected"))
    if len(changed):
        first, last = _span(changed)  # whole days, so that each is one file
        merged = pl.concat(
            [
                _between(rows, first, last),
                _between(stored, first, last)
                .join(rows, on=list(READING_KEY), how="anti")
                .select(rows.columns),
            ]
        )
        _replace(lake, POWER, merged.sort(*READING_KEY), tables.between(first, last))
    return Stored(
        int(compared["is_new"].sum()),
        int(compared["is_corrected"].sum()),
        len(rows) - len(changed),
    )


def readings(
    lake: Lakehouse, from_us: int = EVENT_TIME_US_MIN, to_us: int = TIME_US_MAX
) -> pl.DataFrame:
    """Readings with event time in [from, to) µs, sorted by time and series.

    Columns: event_time_us, series, value_kw, source, known_at_us.
    """
    return _read(lake, POWER, tables.between(from_us, to_us))


def end_us(lake: Lakehouse) -> int | None:
    """End of the last UTC day with a reading after 23:00; None while silver is empty.

    Read from file statistics alone.
    """
    lake.create()
    files = tables.files(lake.table(POWER), ["readable_metrics"])
    if not files:
        return None
    newest = max(file["readable_metrics"]["known_at_us"]["upper_bound"] for file in files)
    return int(newest) // DAY_US * DAY_US


def snapshot_id(lake: Lakehouse) -> int | None:
    """Current snapshot of the readings, None while there is none."""
    return lake.table(POWER).metadata.current_snapshot_id


def store_forecasts(lake: Lakehouse, rows: pl.DataFrame) -> None:
    """Replace the forecasts of one series for the days in `rows`.

    `rows`: event_time_us and the columns of gold.power_forecasts.
    """
    first, last = _span(rows)
    _replace(
        lake,
        POWER_FORECASTS,
        rows,
        And(tables.between(first, last), EqualTo("series", rows["series"][0])),
    )


def forecasts(
    lake: Lakehouse,
    from_us: int = EVENT_TIME_US_MIN,
    to_us: int = TIME_US_MAX,
    series: str | None = None,
) -> pl.DataFrame:
    """Forecasts for the hours in [from, to) µs, of one series or all, sorted by time and series.

    `actual_kw` is null until it is known.
    """
    hours = tables.between(from_us, to_us)
    return _read(lake, POWER_FORECASTS, And(hours, EqualTo("series", series)) if series else hours)


def fill_actuals(lake: Lakehouse, series: str, actual: pl.DataFrame) -> int:
    """Add the measured power of hours (event_time_us, kw) to the forecasts of `series`.

    Returns how many forecasts lacked it or had another value.
    """
    stored = forecasts(lake, series=series)
    matched = stored.join(
        actual.select("event_time_us", "kw").drop_nulls(),
        on="event_time_us",
        how="inner",
        maintain_order="left",
    )
    changed = matched.filter(pl.col("actual_kw").is_null() | (pl.col("actual_kw") != pl.col("kw")))
    if len(changed):
        first, last = _span(changed)
        days = _between(stored, first, last).join(
            changed.select("event_time_us", "kw"),
            on="event_time_us",
            how="left",
            maintain_order="left",
        )
        store_forecasts(
            lake,
            days.with_columns(pl.coalesce("kw", "actual_kw").alias("actual_kw")).drop("kw"),
        )
    return len(changed)


def _span(rows: pl.DataFrame) -> tuple[int, int]:
    first, last = int(rows["event_time_us"].min()), int(rows["event_time_us"].max())  # type: ignore[arg-type]
    return first // DAY_US * DAY_US, (last // DAY_US + 1) * DAY_US


def _between(rows: pl.DataFrame, from_us: int, to_us: int) -> pl.DataFrame:
    return rows.filter(pl.col("event_time_us").is_between(from_us, to_us, closed="left"))


def _read(lake: Lakehouse, table: str, row_filter: BooleanExpression) -> pl.DataFrame:
    lake.create()
    frame = pl.from_arrow(lake.table(table).scan(row_filter=row_filter).to_arrow())
    assert isinstance(frame, pl.DataFrame)
    return frame.select(
        pl.col("event_time").dt.epoch("us").alias("event_time_us"), pl.exclude("event_time")
    ).sort(*READING_KEY)


def _replace(lake: Lakehouse, name: str, rows: pl.DataFrame, replaced: BooleanExpression) -> None:
    table = lake.table(name)
    timed = rows.with_columns(
        pl.from_epoch("event_time_us", time_unit="us")
        .dt.replace_time_zone("UTC")
        .alias("event_time")
    )
    arrow = timed.select([column for column, _ in COLUMNS_OF[name]]).to_arrow()
    overwrite(
        table, arrow.cast(schema_to_pyarrow(table.schema(), include_field_ids=False)), replaced
    )
