"""Staging tables, and their swap into gold: which rows it replaces, and what it leaves alone."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts.config.settings import Settings
from contracts.durations import DAY_US, HOUR_US
from contracts.errors import DatasetError
from feature_store.backfill import staging
from lakehouse import tables
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse
from tests.feature_store.backfill.conftest import (
    BUSY,
    FIRST_US,
    LAST_US,
    OLD_WARM_S,
    THIN,
    stored_rows,
)
from tests.support import parity_tables


@pytest.fixture
def gold(history) -> Lakehouse:
    """Gold with old rows of both symbols on two days."""
    yield Lakehouse(history)
    staging.clear(Lakehouse(history))


def stage_rows(gold: Lakehouse, rows: pl.DataFrame, name: str = "c1") -> list:
    table = staging.stage(gold, name)
    parity_tables.put(gold.settings, table, rows)
    return staging.staged_files(gold, table)


def new_rows(gold: Lakehouse) -> pl.DataFrame:
    return stored_rows(gold.settings).filter(pl.col("warm_s") != OLD_WARM_S)


def test_the_rows_of_the_range_are_replaced_and_no_others(gold, expected):
    time_us = pl.col("event_time").dt.epoch("us")
    inside = expected.filter(time_us.is_between(FIRST_US, FIRST_US + DAY_US, closed="left"))
    staging.swap(gold, stage_rows(gold, inside), FIRST_US, FIRST_US + DAY_US, None)
    assert_frame_equal(new_rows(gold), inside, check_dtypes=False)
    assert len(stored_rows(gold.settings)) == len(expected)


def test_the_end_of_the_range_is_outside_of_it(gold, expected):
    time_us = pl.col("event_time").dt.epoch("us")
    last_us = expected.select(time_us.max()).item()
    staging.swap(gold, [], FIRST_US, last_us, None)
    assert stored_rows(gold.settings).select(time_us.unique()).to_series().to_list() == [last_us]


def test_only_the_rows_of_the_symbols_are_replaced(gold, expected):
    files = stage_rows(gold, expected.filter(pl.col("symbol") == THIN))
    staging.swap(gold, files, FIRST_US, LAST_US, [THIN])
    assert new_rows(gold)["symbol"].unique().to_list() == [THIN]
    assert len(stored_rows(gold.settings)) == len(expected)


def test_a_swap_is_one_commit_and_the_snapshot_before_it_still_has_the_old_rows(gold, expected):
    table = gold.table(GOLD)
    before = table.current_snapshot().snapshot_id
    staging.swap(gold, stage_rows(gold, expected), FIRST_US, LAST_US, None)
    table.refresh()
    assert (table.scan(snapshot_id=before).to_arrow()["warm_s"].to_numpy() == OLD_WARM_S).all()
    states = {log.snapshot_id for log in table.history()[-1:]}
    assert states == {table.current_snapshot().snapshot_id}


def test_a_swap_of_nothing_into_an_empty_range_commits_nothing(gold):
    before = gold.table(GOLD).metadata_location
    staging.swap(gold, [], FIRST_US - 2 * DAY_US, FIRST_US - DAY_US, None)
    assert gold.table(GOLD).metadata_location == before


def test_a_swap_after_a_commit_of_another_writer_keeps_its_rows(gold, expected):
    files = stage_rows(gold, expected)
    later = expected.head(1).with_columns(pl.col("event_time") + pl.duration(days=9))
    parity_tables.put(gold.settings, GOLD, later)
    staging.swap(gold, files, FIRST_US, LAST_US, None)
    assert len(stored_rows(gold.settings)) == len(expected) + 1


def test_files_of_gold_stay_readable_when_their_staging_table_is_dropped(gold, expected):
    staging.swap(gold, stage_rows(gold, expected), FIRST_US, LAST_US, None)
    staging.drop(gold, f"{staging.NAMESPACE}.c1")
    assert_frame_equal(new_rows(gold), expected, check_dtypes=False)


def test_a_staging_table_begins_empty_whatever_an_earlier_attempt_left(gold, expected):
    assert len(stage_rows(gold, expected.head(3))) > 0
    assert staging.staged_files(gold, staging.stage(gold, "c1")) == []


def test_its_files_are_in_the_folder_of_gold(gold, expected):
    (file, *_) = stage_rows(gold, expected.head(1))
    assert file.file_path.startswith(f"{gold.table(GOLD).location()}/data/")
    assert file.record_count == 1


def test_all_staging_tables_are_cleared_and_a_missing_one_is_accepted(gold):
    staging.stage(gold, "c1")
    staging.stage(gold, "c2")
    staging.clear(gold)
    assert gold.catalog.list_tables(staging.NAMESPACE) == []
    staging.drop(gold, f"{staging.NAMESPACE}.c1")


def test_a_lakehouse_without_the_namespace_has_nothing_to_clear(tmp_path):
    staging.clear(Lakehouse(Settings(home=tmp_path)))


def test_gold_with_other_column_ids_is_refused_with_the_way_out(tmp_path):
    """A column was removed and added again: a new table numbers its columns without the hole."""
    gold = Lakehouse(Settings(home=tmp_path))
    gold.create()
    with gold.table(GOLD).update_schema() as update:
        update.delete_column("volume_1m")
    gold.create()
    with pytest.raises(DatasetError, match=f"{GOLD} has column ids") as caught:
        staging.stage(gold, "c1")
    assert "into a new lakehouse" in caught.value.hint


def test_the_range_is_in_event_time_and_not_in_whole_days(gold, expected):
    to_us = FIRST_US + 13 * HOUR_US
    staging.swap(gold, [], FIRST_US + 10 * HOUR_US, to_us, [BUSY])
    row_filter = tables.between(FIRST_US + 10 * HOUR_US, to_us)
    left = gold.table(GOLD).scan(row_filter=row_filter).to_arrow()["symbol"].unique().to_pylist()
    assert left == [THIN] and len(stored_rows(gold.settings)) < len(expected)
