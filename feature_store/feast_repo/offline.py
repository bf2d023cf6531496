"""Exports lakehouse tables to the files of Feast's offline store."""

from pathlib import Path

import polars as pl

from contracts.config.settings import Settings
from feature_store.feast_repo.objects import DAILY_VIEW, offline_file
from lakehouse import daily
from lakehouse.schemas import DAILY, DAILY_COUNTS, DAILY_NUMBERS


def export_daily(settings: Settings) -> Path:
    """Write the file of the daily view: every day, at the time from which it is known.

    Returns the path of the file.
    """
    rows = daily.read(settings, DAILY)
    known_at = (
        pl.from_epoch("known_at_us", time_unit="us")
        .dt.replace_time_zone("UTC")
        .alias("event_timestamp")
    )
    file = offline_file(settings, DAILY_VIEW)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".new")
    rows.select("symbol", known_at, *DAILY_COUNTS, *DAILY_NUMBERS).write_parquet(partial)
    partial.replace(file)  # atomic: readers see the old file or the new one
    return file
