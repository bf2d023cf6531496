"""Daily statistics on a real lakehouse: whole days, holes said, others' rows kept, twice the same;
and Feast joins them a day later.
"""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import DatasetError
from feature_store.feast_repo import objects as feast_objects
from lakehouse import daily, tables
from lakehouse.schemas import (
    DAILY,
    DAILY_CORRELATION,
    DAILY_COUNTS,
    DAILY_NUMBERS,
    DAILY_PROFILE,
    DAILY_VOLATILITY,
)
from lakehouse.tables import Lakehouse
from tests.support.prices import D0, ticks
from training.daily_stats import compute, rows

TABLES = (DAILY, DAILY_VOLATILITY, DAILY_PROFILE, DAILY_CORRELATION)
LATER_US = D0 + 1000 * DAY_US
DATE = [compute.iso_date(D0 + day * DAY_US) for day in range(8)]


@pytest.fixture
def lake(tmp_path):
    """Silver with two symbols on days 0, 1 and 3."""
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    Lakehouse(made).append_ticks(ticks([0, 1, 3], rate=0.005))
    return made


def held(lake, symbols=None):
    return {table: daily.read(Lakehouse(lake), table, symbols=symbols) for table in TABLES}


def same(one, other):
    return all(one[table].equals(other[table]) for table in TABLES)


def run_days(lake, first, last, **rest):
    return compute.compute_days(
        lake, D0 + first * DAY_US, D0 + last * DAY_US, at_us=rest.pop("at_us", LATER_US), **rest
    )


def test_the_tables_hold_what_is_computed_in_memory_and_twice_is_the_same(lake):
    report = run_days(lake, 0, 4)
    before = held(lake)
    for day in (0, 1, 3):
        made = rows.daily_rows(
            Lakehouse(lake).read_ticks(D0 + day * DAY_US, D0 + (day + 1) * DAY_US),
            D0 + day * DAY_US,
        )
        stored = {
            table: daily.read(Lakehouse(lake), table, D0 + day * DAY_US, D0 + (day + 1) * DAY_US)
            for table in TABLES
        }
        assert all(
            stored[table].equals(made[table].select(stored[table].columns)) for table in TABLES
        )
    assert (report.days, report.holes, report.unfinished, report.missing) == (
        [DATE[0], DATE[1], DATE[3]],
        [DATE[2]],
        [],
        [],
    )
    assert report.rows == {table: len(before[table]) for table in TABLES}
    assert run_days(lake, 0, 4).rows == report.rows
    assert same(held(lake), before)


def test_days_at_once_are_the_days_one_by_one(lake, monkeypatch):
    run_days(lake, 0, 4)
    before, steps = held(lake), []
    monkeypatch.setattr(compute, "BATCH_DAYS", 1)
    run_days(lake, 0, 4, progress=lambda *step: steps.append(step))
    assert same(held(lake), before)
    assert steps == [("daily statistics", done, 4) for done in (1, 2, 3, 4)]


def test_one_day_is_read_at_a_time_and_rows_do_not_pile_up(lake, monkeypatch):
    read, written = [], []
    read_ticks, replace = Lakehouse.read_ticks, daily.replace
    monkeypatch.setattr(
        Lakehouse,
        "read_ticks",
        lambda lake, *span, **rest: read.append(span[:2]) or read_ticks(lake, *span, **rest),
    )
    monkeypatch.setattr(
        daily,
        "replace",
        lambda given, frames, *span: written.append(span[:2]) or replace(given, frames, *span),
    )
    monkeypatch.setattr(compute, "BATCH_ROWS_MAX", 1)
    run_days(lake, 0, 4)
    days = [(D0 + day * DAY_US, D0 + (day + 1) * DAY_US) for day in range(4)]
    assert read == days
    assert written == [
        days[0],
        days[1],
        (days[2][0], days[3][1]),
    ]  # the hole waits for the next day's rows


def test_a_run_that_ends_between_two_tables_is_mended_by_the_next(lake, monkeypatch):
    run_days(lake, 0, 4)
    before = held(lake)
    Lakehouse(lake).append_ticks(ticks([2], rate=0.005))
    with monkeypatch.context() as broken:
        broken.setattr(daily, "overwrite", _fails_after(daily.overwrite, 2))
        with pytest.raises(KeyboardInterrupt):
            run_days(lake, 0, 4)
    undone = held(lake)
    assert undone[DAILY].equals(
        before[DAILY]
    )  # the headline comes last: a day in it has its details
    assert len(undone[DAILY_VOLATILITY]) == len(before[DAILY_VOLATILITY]) + 2 * 48
    run_days(lake, 0, 4)
    after = held(lake)
    old = pl.col("event_time").dt.epoch("us") != D0 + 2 * DAY_US
    assert all(after[table].filter(old).equals(before[table]) for table in TABLES)
    assert after[DAILY].filter(~old).height == 2


def _fails_after(real, times):
    calls = iter(range(times))

    def overwrite(*given):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        real(*given)

    return overwrite


def test_a_part_of_a_day_is_the_whole_day_and_a_day_that_is_not_over_waits(lake):
    report = compute.compute_days(lake, D0 + DAY_US // 3, D0 + DAY_US // 2, at_us=LATER_US)
    assert report.days == [DATE[0]]
    report = run_days(lake, 1, 5, at_us=D0 + 3 * DAY_US + 5)
    assert (report.days, report.holes, report.unfinished) == (
        [DATE[1]],
        [DATE[2]],
        [DATE[3], DATE[4]],
    )
    assert set(held(lake)[DAILY]["event_time"].dt.epoch("us")) == {D0, D0 + DAY_US}


def test_a_range_ahead_of_now_has_no_days(lake):
    report = run_days(lake, 5, 7, at_us=D0)
    assert (report.days, report.unfinished) == ([], [DATE[5], DATE[6]])


def test_new_ticks_of_one_symbol_change_its_rows_and_no_others(lake):
    run_days(lake, 0, 2)
    before = held(lake)
    Lakehouse(lake).append_ticks(
        ticks([0], symbols=("V:A", "V:C"), seed=9).with_columns(trade_id="x" + pl.col("trade_id")),
    )
    report = run_days(lake, 0, 1, symbols=["V:A", "V:X"])
    after = held(lake)
    assert report.missing == ["V:X"]
    for table in TABLES:
        others = (pl.col("symbol") == "V:B") | (pl.col("event_time").dt.epoch("us") != D0)
        assert after[table].filter(others).equals(before[table].filter(others))
    changed = (pl.col("symbol") == "V:A") & (pl.col("event_time").dt.epoch("us") == D0)
    assert (
        after[DAILY].filter(changed)["trades"].item()
        > before[DAILY].filter(changed)["trades"].item()
    )
    assert (
        after[DAILY_CORRELATION]
        .filter(pl.col("other") != pl.col("symbol"))
        .equals(before[DAILY_CORRELATION].filter(pl.col("other") != pl.col("symbol")))
    )


def test_statistics_of_ticks_that_are_gone_go_too(lake):
    run_days(lake, 0, 2)
    with tables.ignore_row_group_warning():
        Lakehouse(lake).table("silver.tick_data").delete(tables.between(D0, D0 + DAY_US))
    assert run_days(lake, 0, 1).holes == [DATE[0]]
    assert set(held(lake)[DAILY]["event_time"].dt.epoch("us")) == {D0 + DAY_US}


def test_an_empty_lakehouse_is_all_holes_and_an_empty_range_an_error(tmp_path):
    lake = Settings(home=tmp_path)
    report = run_days(lake, 0, 3)
    assert (report.days, report.holes) == ([], DATE[:3])
    with pytest.raises(DatasetError, match="the range is empty"):
        run_days(lake, 3, 3)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning",
    "ignore::RuntimeWarning",
)
def test_feast_joins_a_day_from_the_next_midnight_on_and_never_earlier(lake):
    import pandas as pd

    run_days(lake, 0, 4)
    feast_objects.apply(lake)
    midnight = datetime.fromtimestamp((D0 + DAY_US) / 1e6, UTC)  # the end of day 0
    second = timedelta(seconds=1)
    when = [
        midnight - second,
        midnight,
        midnight + second,
        midnight + timedelta(days=1),
        midnight + timedelta(days=3),
    ]
    asked = pd.DataFrame(
        {
            "symbol": ["V:A", "V:B"] * len(when),
            "event_timestamp": [each for each in when for _ in range(2)],
        }
    )
    names = [*DAILY_COUNTS, *DAILY_NUMBERS]
    joined = (
        feast_objects.store(lake)
        .get_historical_features(asked, [f"{feast_objects.DAILY_VIEW}:{name}" for name in names])
        .to_df()
    )
    truth = {
        (row["event_time"], row["symbol"]): row for row in held(lake)[DAILY].iter_rows(named=True)
    }
    for row in joined.to_dict("records"):
        day = {
            midnight: 0,
            midnight + second: 0,
            midnight + timedelta(days=1): 1,
            midnight + timedelta(days=3): 3,
        }
        at = row["event_timestamp"].to_pydatetime()
        wanted = (
            truth.get((midnight + timedelta(days=day[at] - 1), row["symbol"]))
            if at in day
            else None
        )
        for name in names:
            assert (
                pd.isna(row[name])
                if wanted is None or wanted[name] is None
                else row[name] == wanted[name]
            )


def test_the_exported_file_is_usable_from_the_next_day_on(lake):
    run_days(lake, 0, 2)
    exported = pl.read_parquet(feast_objects.offline_file(lake, feast_objects.DAILY_VIEW))
    assert set(exported["event_timestamp"].dt.epoch("us")) == {D0 + DAY_US, D0 + 2 * DAY_US}
    assert exported.columns == ["symbol", "event_timestamp", *DAILY_COUNTS, *DAILY_NUMBERS]
