"""Columns that were added to a table later: older rows have no value in them, which is fine."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts.features import Column
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse

SYMBOL = {"symbol": pl.String()}


@dataclass(frozen=True)
class AddedColumns:
    """The added columns, as seen in one slice.

    `live`: `symbol` and the added columns of the live table, each with the first time (µs) at which
    the symbol has a value in it. `batch`: columns without any value of history in the slice.
    """

    live: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SYMBOL))
    batch: frozenset[str] = frozenset()


class AddedColumnsTracker:
    """Follows the added columns of both tables over slices in order of time."""

    def __init__(self, lake: Lakehouse) -> None:
        self._live, self._batch = added_columns(lake, GOLD_LIVE), added_columns(lake, GOLD)
        self._begins_us = pl.DataFrame(schema=SYMBOL)

    def update(
        self, columns: Sequence[Column], live: pl.DataFrame, batch: pl.DataFrame
    ) -> AddedColumns:
        """Take in the next slice of the view with these columns; returns the state after it."""
        names = {column.name for column in columns}
        begins_us = _first_times_us(live, sorted(names & self._live))
        both = pl.concat([self._begins_us, begins_us], how="diagonal")
        self._begins_us = both.group_by("symbol").agg(pl.all().min())
        return AddedColumns(self._begins_us, _empty_columns(batch, names & self._batch))


def _first_times_us(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The first time (µs) with a value per `symbol`, one column per name."""
    time_us = pl.col("event_time_us")
    return rows.group_by("symbol").agg(
        time_us.filter(pl.col(name).is_not_null()).min().alias(name) for name in names
    )


def _empty_columns(rows: pl.DataFrame, names: Collection[str]) -> frozenset[str]:
    """The columns, of those with these names, in which no row has a value."""
    return frozenset(name for name in names if rows[name].null_count() == len(rows))


def added_columns(lake: Lakehouse, table: str) -> frozenset[str]:
    """Columns that the first schema of a table did not have."""
    stored = lake.table(table)
    first = min(stored.metadata.schemas, key=lambda schema: schema.schema_id)
    original_ids = {field_.field_id for field_ in first.fields}
    return frozenset(
        field_.name for field_ in stored.schema().fields if field_.field_id not in original_ids
    )
