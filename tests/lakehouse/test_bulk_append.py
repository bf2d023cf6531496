"""Bulk appends: one data file per day, all days in one commit, readable like any other ticks."""

import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from lakehouse import bulk_append
from lakehouse.bulk_append import append_days
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from tests.support import parity_tables
from tests.support.parity_tables import START, A, B

DAY = START // DAY_US


@pytest.fixture
def home(tmp_path) -> Lakehouse:
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    return Lakehouse(settings)


def market(day: int, symbol: str = A, count: int = 20):
    return parity_tables.ticks((symbol,), count=count, start_us=START + day * DAY_US)


def test_days_are_one_commit_with_a_file_each(home):
    days = [market(0), market(1), market(2)]
    rows = append_days(home.table(SILVER), [(DAY + i, ticks) for i, ticks in enumerate(days)])
    assert rows == sum(map(len, days))
    table = home.table(SILVER)
    assert len(table.snapshots()) == 1
    assert table.inspect.files()["record_count"].to_pylist() == [len(ticks) for ticks in days]


def test_a_day_is_found_by_its_partition(home):
    append_days(home.table(SILVER), [(DAY, market(0)), (DAY + 1, market(1, B))])
    read = home.read_ticks(START + DAY_US, START + 2 * DAY_US)
    assert read["key"].unique().to_list() == [B]
    assert home.time_range()[0] == market(0)["event_time_us"].min()


def test_rows_are_those_of_an_ordinary_append(home):
    append_days(home.table(SILVER), [(DAY, market(0))])
    bulk = home.read_ticks(START, START + DAY_US)
    home.table(SILVER).delete()
    home.append_ticks(market(0))
    assert bulk.equals(home.read_ticks(START, START + DAY_US))


def test_empty_days_are_skipped(home):
    days = [(DAY, market(0).clear()), (DAY + 1, market(1)), (DAY + 2, market(2).clear())]
    assert append_days(home.table(SILVER), days) == len(market(1))
    assert home.table(SILVER).inspect.files().num_rows == 1


@pytest.mark.parametrize("days", [[], [(DAY, market(0).clear())]])
def test_nothing_to_append_makes_no_commit(home, days):
    assert append_days(home.table(SILVER), days) == 0
    assert home.table(SILVER).snapshots() == []


def test_another_commit_in_between_is_kept(home):
    stale = home.table(SILVER)
    home.append_ticks(market(0, B))
    append_days(stale, [(DAY, market(0))])
    assert home.count_ticks(START, START + DAY_US).symbols == [A, B]


def test_files_of_a_failed_commit_are_in_no_snapshot(home, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(bulk_append, "_commit", fail)
    with pytest.raises(OSError, match="disk is full"):
        append_days(home.table(SILVER), [(DAY, market(0))])
    assert home.table(SILVER).snapshots() == []
    assert home.count_ticks(START, START + DAY_US).rows == 0
