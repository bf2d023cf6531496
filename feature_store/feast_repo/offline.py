"""Feast's offline store: the file that a view of Feast reads, written from the lakehouse."""

from pathlib import Path

import polars as pl

from contracts.config.settings import Settings
from contracts.files import replacing
from feature_store.feast_repo.objects import DAILY_VIEW, offline_file
from lakehouse import daily
from lakehouse.schemas import DAILY, DAILY_COUNTS, DAILY_NUMBERS


def export_daily(settings: Settings) -> Path:
    """Write the file that Feast's offline store reads: every day, at the time it may be used from;
    returns its path.
    """
    rows = daily.read(settings, DAILY)
    known = (
        pl.from_epoch("known_at_us", time_unit="us")
        .dt.replace_time_zone("UTC")
        .alias("event_timestamp")
    )
    file = offline_file(settings, DAILY_VIEW)
    with replacing(file) as partial:
        rows.select("symbol", known, *DAILY_COUNTS, *DAILY_NUMBERS).write_parquet(partial)
    return file
