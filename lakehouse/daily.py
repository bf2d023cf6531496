"""Tables of daily statistics: replace days in one commit per table, read them with polars."""

import warnings
from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, In
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from contracts.tick import EVENT_TIME_US_MIN
from lakehouse import tables
from lakehouse.commits import retry_commit
from lakehouse.schemas import COLUMNS_OF
from lakehouse.tables import Lakehouse

TIME_US_MAX = 253_402_300_799_000_000  # end of the year 9999, the last one with an ISO date


def replace(
    lake: Lakehouse,
    frames: Mapping[str, pl.DataFrame],
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None,
) -> None:
    """Replace the days that begin in [from, to) µs by `frames` (rows by table, in that order).

    With `symbols` (VENUE:SYMBOL) only their rows are replaced; of correlations, those between two
    of them.
    """
    for name, frame in frames.items():
        table = lake.table(name)
        arrow = frame.select([column for column, _ in COLUMNS_OF[name]]).to_arrow()
        overwrite(
            table,
            arrow.cast(schema_to_pyarrow(table.schema(), include_field_ids=False)),
            _row_filter(name, from_us, to_us, symbols),
        )


def _row_filter(
    name: str, from_us: int, to_us: int, symbols: Sequence[str] | None
) -> BooleanExpression:
    row_filter: BooleanExpression = tables.between(from_us, to_us)
    for column in ("symbol", "other"):
        if symbols is not None and column in dict(COLUMNS_OF[name]):
            row_filter = And(row_filter, In(column, list(symbols)))
    return row_filter


@retry_commit
def overwrite(table: Table, arrow: pa.Table, replaced: BooleanExpression) -> None:
    """Replace the rows that match `replaced` by `arrow` in one commit; retried on conflict."""
    table.refresh()
    with tables.ignore_row_group_warning():
        # Usually the day has no rows yet, which PyIceberg warns about.
        warnings.filterwarnings(
            "ignore", message="Delete operation did not match any records", category=UserWarning
        )
        table.overwrite(arrow, overwrite_filter=replaced)


def read(
    lake: Lakehouse,
    table: str,
    from_us: int = EVENT_TIME_US_MIN,
    to_us: int = TIME_US_MAX,
    symbols: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Rows of the days that begin in [from, to) µs, sorted by day and symbol, with the table's
    columns.
    """
    scan = lake.table(table).scan(row_filter=_row_filter(table, from_us, to_us, symbols))
    frame = pl.from_arrow(scan.to_arrow())
    assert isinstance(frame, pl.DataFrame)
    names = {name for name, _ in COLUMNS_OF[table]}
    return frame.sort(
        [name for name in ("event_time", "symbol", "slot", "bucket_low", "other") if name in names]
    )
