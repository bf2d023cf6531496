"""Columns that a table gained after it was made: rows written before have no value in them, which
is no defect of a feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts.config.settings import Settings
from contracts.features import Column
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE


@dataclass(frozen=True)
class Young:
    """Of one slice: by live column, since when (`begin_us`) a `symbol` has a value; columns in
    which history has none in the slice.
    """

    live: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    batch: frozenset[str] = frozenset()


class Youth:
    """Follows the younger columns of both tables from slice to slice, in the order of time."""

    def __init__(self, settings: Settings) -> None:
        self._live, self._batch = (younger(settings, table) for table in (GOLD_LIVE, GOLD))
        self._begun: dict[str, pl.DataFrame] = {}

    def of(self, columns: Sequence[Column], live: pl.DataFrame, batch: pl.DataFrame) -> Young:
        """What is known of `columns` after this slice."""
        own = [column.name for column in columns if column.name in self._live]
        for name in own:
            begun = (
                live.filter(pl.col(name).is_not_null())
                .group_by("symbol")
                .agg(begin_us=pl.col("event_time_us").min())
            )
            every = pl.concat([self._begun[name], begun]) if name in self._begun else begun
            self._begun[name] = every.group_by("symbol").agg(pl.col("begin_us").min())
        silent = (
            column.name
            for column in columns
            if column.name in self._batch and batch[column.name].null_count() == len(batch)
        )
        return Young({name: self._begun[name] for name in own}, frozenset(silent))


def younger(settings: Settings, table: str) -> frozenset[str]:
    """Columns that the first schema of a table did not have."""
    stored = tables.catalog(settings).load_table(table)
    first = min(stored.metadata.schemas, key=lambda schema: schema.schema_id)
    known = {found.field_id for found in first.fields}
    return frozenset(found.name for found in stored.schema().fields if found.field_id not in known)
