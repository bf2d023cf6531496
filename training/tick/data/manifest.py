"""Manifest of a training set, the artifact dataset.json of its run.

It contains what is needed to reproduce the rows, and digests by column and day that locate a
difference. The rows themselves are not stored a second time: the Iceberg snapshots contain them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from training.run.provenance import iso
from training.tick.data.dataset import TickDataset, fingerprint

MANIFEST_FILE = "dataset.json"  # in MLflow; not `saved_dataset.DETAILS_FILE` of the run directory
# All settings that influence a row.
SETTINGS = ("decision_grid_s", "entry_delay_s", "entry_late_s_max", "horizon_s", "stale_s")


@dataclass(frozen=True)
class DatasetManifest:
    """Source and content of a training set.

    Decisions in [from_us, to_us), µs UTC, read at `snapshots` with `settings`. `columns` maps names
    to digests, `days` UTC dates to [rows, digest].
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


def describe_dataset(dataset: TickDataset, settings: Settings) -> DatasetManifest:
    """Manifest of a data set read with these settings.

    One that was not read from the lakehouse has the range of its rows, and cannot be reproduced.
    """
    frame = dataset.frame
    times_us = frame["decision_us"]
    rows_range = int(times_us.min()), int(times_us.max()) + 1  # type: ignore[arg-type]
    from_us, to_us = dataset.range_us or rows_range
    return DatasetManifest(
        from_us=from_us,
        to_us=to_us,
        snapshots=dataset.snapshots,
        settings={name: getattr(settings, name) for name in SETTINGS},
        fingerprint=dataset.fingerprint,
        rows=len(frame),
        columns={name: fingerprint(frame.select(name)) for name in frame.columns},
        days=_digests_by_day(frame),
        dropped=dataset.dropped,
    )


def list_differences(recorded: DatasetManifest, rebuilt: DatasetManifest) -> list[str]:
    """Differences from coarse to fine, one sentence each; empty if all rows are equal."""
    if recorded.fingerprint == rebuilt.fingerprint:
        return []
    differences = [
        *_missing_columns(recorded, rebuilt),
        *_row_differences(recorded, rebuilt),
        *_day_differences(recorded.days, rebuilt.days),
    ]
    return differences or [
        f"fingerprint: {recorded.fingerprint[:16]}… recorded, {rebuilt.fingerprint[:16]}… rebuilt,"
        " but all other digests are equal"
    ]


def _missing_columns(recorded: DatasetManifest, rebuilt: DatasetManifest) -> list[str]:
    removed = sorted(recorded.columns.keys() - rebuilt.columns.keys())
    added = sorted(rebuilt.columns.keys() - recorded.columns.keys())
    return [
        *(f"column {name} is only in the recorded one" for name in removed),
        *(f"column {name} is only in the rebuilt one" for name in added),
    ]


def _row_differences(recorded: DatasetManifest, rebuilt: DatasetManifest) -> list[str]:
    differences = []
    changed = [
        name
        for name, digest in recorded.columns.items()
        if rebuilt.columns.get(name, digest) != digest
    ]
    if recorded.rows != rebuilt.rows:
        differences.append(f"rows: {recorded.rows:,} recorded, {rebuilt.rows:,} rebuilt")
    elif changed:
        differences.append(f"columns with other values: {', '.join(changed)}")
    if recorded.dropped != rebuilt.dropped:
        differences.append(
            f"dropped decisions: {recorded.dropped} recorded, {rebuilt.dropped} rebuilt"
        )
    return differences


def _digests_by_day(frame: pl.DataFrame) -> dict[str, list[Any]]:
    days = frame.with_columns((pl.col("decision_us") // DAY_US).alias("day")).partition_by(
        "day", as_dict=True, include_key=False
    )
    return {
        iso(int(day) * DAY_US)[:10]: [len(rows), fingerprint(rows)]
        for (day,), rows in sorted(days.items())
    }


def _day_differences(
    recorded: Mapping[str, list[Any]], rebuilt: Mapping[str, list[Any]]
) -> list[str]:
    days = [
        day
        for day in sorted(recorded.keys() | rebuilt.keys())
        if recorded.get(day) != rebuilt.get(day)
    ]
    if not days:
        return []
    first = days[0]
    recorded_rows = recorded.get(first, [0])[0]
    rebuilt_rows = rebuilt.get(first, [0])[0]
    return [
        f"days that differ: {len(days)}, the first is {first} ({recorded_rows:,} rows recorded,"
        f" {rebuilt_rows:,} rebuilt)"
    ]
