"""How a training set was made, kept in its run as dataset.json: enough to make it again, and to say
where the two differ.

Rows are not stored a second time: the pinned snapshots hold them. Digests by column and by day
narrow a difference down.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from contracts.config.settings import Settings
from training.run.provenance import iso
from training.tick.dataset import Dataset, fingerprint
from training.tick.split import DAY_US

DOCUMENT = "dataset.json"
SETTINGS = (
    "decision_grid_s",
    "entry_delay_s",
    "entry_late_s_max",
    "horizon_s",
    "stale_s",
)  # all that shape a row


@dataclass(frozen=True)
class Recipe:
    """What it was read from, and what came out: `columns` is a digest by name, `days` (rows,
    digest) by UTC date.
    """

    from_us: int
    to_us: int
    snapshots: dict[str, int | None]
    settings: dict[str, float]
    fingerprint: str
    rows: int
    columns: dict[str, str]
    days: dict[str, list[Any]]
    dropped: dict[str, int]


def of(dataset: Dataset, settings: Settings) -> Recipe:
    """The recipe of a dataset read with these settings; one made in memory has the range of its
    rows and cannot be made again.
    """
    frame = dataset.frame
    times_us = frame["decision_us"]
    first, last = dataset.range_us or (int(times_us.min()), int(times_us.max()) + 1)  # type: ignore[arg-type]
    return Recipe(
        first,
        last,
        dataset.snapshots,
        {name: getattr(settings, name) for name in SETTINGS},
        dataset.fingerprint,
        len(frame),
        {name: fingerprint(frame.select(name)) for name in frame.columns},
        _days(frame),
        dataset.dropped,
    )


def differences(recorded: Recipe, made: Recipe) -> list[str]:
    """What differs, coarse to fine, one sentence each; empty when every row is equal."""
    if recorded.fingerprint == made.fingerprint:
        return []
    found = [
        f"column {name} is only in the recorded one"
        for name in sorted(recorded.columns.keys() - made.columns.keys())
    ]
    found += [
        f"column {name} is only in the rebuilt one"
        for name in sorted(made.columns.keys() - recorded.columns.keys())
    ]
    if recorded.rows != made.rows:
        found.append(f"rows: {recorded.rows:,} recorded, {made.rows:,} rebuilt")
    else:
        values = [
            name
            for name, digest in recorded.columns.items()
            if made.columns.get(name, digest) != digest
        ]
        found += [f"columns with other values: {', '.join(values)}"] if values else []
    if recorded.dropped != made.dropped:
        found.append(f"dropped decisions: {recorded.dropped} recorded, {made.dropped} rebuilt")
    found += _days_apart(recorded.days, made.days)
    return found or [
        f"fingerprint: {recorded.fingerprint[:16]}… recorded, {made.fingerprint[:16]}… rebuilt, and"
        " no digest says where"
    ]


def _days(frame: pl.DataFrame) -> dict[str, list[Any]]:
    by_day = frame.with_columns((pl.col("decision_us") // DAY_US).alias("day")).partition_by(
        "day", as_dict=True, include_key=False
    )
    return {
        iso(int(day) * DAY_US)[:10]: [len(rows), fingerprint(rows)]
        for (day,), rows in sorted(by_day.items())
    }


def _days_apart(recorded: dict[str, list[Any]], made: dict[str, list[Any]]) -> list[str]:
    days = [
        day for day in sorted(recorded.keys() | made.keys()) if recorded.get(day) != made.get(day)
    ]
    if not days:
        return []
    before, after = (of_day.get(days[0], [0])[0] for of_day in (recorded, made))
    return [
        f"days that differ: {len(days)}, the first is {days[0]} ({before:,} rows recorded,"
        f" {after:,} rebuilt)"
    ]
