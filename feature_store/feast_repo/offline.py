"""Exports lakehouse tables to the files of Feast's offline store."""

from pathlib import Path

import polars as pl

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.files import replace_atomically
from feature_store.feast_repo.objects import DAILY_VIEW, offline_file
from lakehouse import daily
from lakehouse.schemas import DAILY, DAILY_COUNTS, DAILY_NUMBERS
from lakehouse.tables import Lakehouse


def export_daily(settings: LakehouseSettings) -> Path:
    """Write the file of the daily view: every day, at the time from which it is known.

    Returns the path of the file.
    """
    rows = daily.read(Lakehouse(settings), DAILY)
    known_at = (
        pl.from_epoch("known_at_us", time_unit="us")
        .dt.replace_time_zone("UTC")
        .alias("event_timestamp")
    )
    file = offline_file(settings, DAILY_VIEW)
    with replace_atomically(file) as partial:
        rows.select("symbol", known_at, *DAILY_COUNTS, *DAILY_NUMBERS).write_parquet(partial)
    return file
