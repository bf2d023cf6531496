"""Columns that were added to a table later: older rows have no value in them, which is fine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts.features import Column
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse


@dataclass(frozen=True)
class AddedColumns:
    """The added columns, as seen in one slice.

    `live`: by column of the live table, the first time (`begin_us`) with a value per `symbol`.
    `batch`: columns without any value of history in the slice.
    """

    live: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    batch: frozenset[str] = frozenset()


class AddedColumnsTracker:
    """Follows the added columns of both tables over slices in order of time."""

    def __init__(self, lake: Lakehouse) -> None:
        self._live, self._batch = (added_columns(lake, table) for table in (GOLD_LIVE, GOLD))
        self._begins: dict[str, pl.DataFrame] = {}

    def update(
        self, columns: Sequence[Column], live: pl.DataFrame, batch: pl.DataFrame
    ) -> AddedColumns:
        """Take in the next slice; returns its state of `columns`."""
        added = [column.name for column in columns if column.name in self._live]
        for name in added:
            begins = (
                live.filter(pl.col(name).is_not_null())
                .group_by("symbol")
                .agg(begin_us=pl.col("event_time_us").min())
            )
            merged = pl.concat([self._begins[name], begins]) if name in self._begins else begins
            self._begins[name] = merged.group_by("symbol").agg(pl.col("begin_us").min())
        empty = (
            column.name
            for column in columns
            if column.name in self._batch and batch[column.name].null_count() == len(batch)
        )
        return AddedColumns({name: self._begins[name] for name in added}, frozenset(empty))


def added_columns(lake: Lakehouse, table: str) -> frozenset[str]:
    """Columns that the first schema of a table did not have."""
    stored = lake.table(table)
    first = min(stored.metadata.schemas, key=lambda schema: schema.schema_id)
    original_ids = {field_.field_id for field_ in first.fields}
    return frozenset(
        field_.name for field_ in stored.schema().fields if field_.field_id not in original_ids
    )
