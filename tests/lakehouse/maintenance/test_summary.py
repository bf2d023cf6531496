"""Summaries and ranges, also of tables whose snapshots have no file."""

import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.progress import silent
from feature_store.parity import stored_rows
from lakehouse import power, tables
from lakehouse.maintenance.compaction import compact
from lakehouse.maintenance.expiry import Retention, expire
from lakehouse.maintenance.summary import Summary, summary
from lakehouse.schemas import GOLD, GOLD_LIVE, POWER, SILVER
from lakehouse.tables import Lakehouse
from tests.support.parity_tables import put_nothing
from tests.support.small_files import LATER_US, RULE, crowd, data_files, files, rows, table


@pytest.fixture
def lake(tmp_path):
    """A lakehouse without rows."""
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    return made


def test_creating_what_exists_leaves_nothing_behind(lake):
    before = {name: files(lake, name) for name in (SILVER, GOLD, GOLD_LIVE)}
    Lakehouse(lake).create()
    assert {name: files(lake, name) for name in before} == before


def test_the_summary_counts_rows_and_files(lake):
    crowd(lake)
    lines = {line.table: line for line in summary(Lakehouse(lake))}
    assert (lines[SILVER].rows, lines[SILVER].files, lines[SILVER].snapshots) == (60, 6, 6)
    assert lines[SILVER].bytes == sum(file.stat().st_size for file in data_files(lake))
    assert lines[GOLD].rows == lines[GOLD_LIVE].rows == 0


@pytest.mark.parametrize("name", [SILVER, GOLD_LIVE])
def test_a_snapshot_without_files_counts_as_empty(lake, name):
    put_nothing(lake, name)
    put_nothing(lake, name)
    lines = {line.table: line for line in summary(Lakehouse(lake))}
    assert lines[name] == Summary(name, rows=0, files=0, bytes=0, snapshots=2)
    assert compact(Lakehouse(lake), RULE, silent).partitions == 0
    assert expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None).snapshots == 1


def test_ranges_of_tables_without_files_are_empty(lake):
    for name in (SILVER, POWER, GOLD, GOLD_LIVE):
        put_nothing(lake, name)
    with pytest.raises(DatasetError, match="holds no ticks"):
        Lakehouse(lake).time_range()
    assert power.end_us(Lakehouse(lake)) is None
    with pytest.raises(DatasetError, match="is empty"):
        stored_rows.covered_range(Lakehouse(lake), LATER_US)


def test_a_table_whose_rows_were_all_deleted_counts_as_empty(lake):
    crowd(lake)
    with tables.ignore_row_group_warning():
        table(lake).delete()
    lines = {line.table: line for line in summary(Lakehouse(lake))}
    assert (lines[SILVER].rows, lines[SILVER].files) == (0, 0)
    assert compact(Lakehouse(lake), RULE, silent).partitions == 0
    expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None)
    assert rows(lake) == []
