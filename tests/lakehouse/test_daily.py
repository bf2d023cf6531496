"""Daily statistics: a replacement changes its days and symbols only, in one commit per table."""

from datetime import UTC, datetime

import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from lakehouse import daily
from lakehouse.schemas import COLUMNS_OF, DAILY_CORRELATION, DAILY_VOLATILITY
from lakehouse.tables import Lakehouse

D0 = 20_000 * DAY_US


@pytest.fixture
def home(tmp_path) -> Lakehouse:
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    return Lakehouse(settings)


def time(day: int) -> datetime:
    return datetime.fromtimestamp((D0 + day * DAY_US) / 1e6, UTC)


def volatility(*rows: tuple[int, str, int, float]) -> pl.DataFrame:
    """Rows of (day, symbol, slot, rv_5m)."""
    return pl.DataFrame(
        [
            {
                "event_time": time(day),
                "known_at_us": D0 + (day + 1) * DAY_US,
                "symbol": symbol,
                "slot": slot,
                "trades": 1,
                "volume": 1.0,
                "rv_5m": value,
            }
            for day, symbol, slot, value in rows
        ]
    )


def correlation(*rows: tuple[int, str, str, float]) -> pl.DataFrame:
    """Rows of (day, symbol, other, correlation)."""
    return pl.DataFrame(
        [
            {
                "event_time": time(day),
                "known_at_us": D0 + (day + 1) * DAY_US,
                "symbol": symbol,
                "other": other,
                "hayashi_yoshida": value,
                "previous_tick_5m": value,
            }
            for day, symbol, other, value in rows
        ]
    )


def replace(home: Lakehouse, frame: pl.DataFrame, days: tuple[int, int], symbols=None) -> None:
    table = DAILY_CORRELATION if "other" in frame.columns else DAILY_VOLATILITY
    from_us, to_us = (D0 + day * DAY_US for day in days)
    daily.replace(home, {table: frame}, from_us, to_us, symbols)


def values(home: Lakehouse) -> list[tuple]:
    frame = daily.read(home, DAILY_VOLATILITY)
    return frame.select("symbol", "slot", "rv_5m").rows()


def test_rows_come_back_sorted_with_the_columns_of_the_table(home):
    replace(home, volatility((1, "V:B", 0, 4.0), (0, "V:B", 7, 3.0), (0, "V:A", 9, 2.0)), (0, 2))
    frame = daily.read(home, DAILY_VOLATILITY)
    assert frame.columns == [name for name, _ in COLUMNS_OF[DAILY_VOLATILITY]]
    assert values(home) == [("V:A", 9, 2.0), ("V:B", 7, 3.0), ("V:B", 0, 4.0)]


def test_a_replacement_takes_the_place_of_its_days_only(home):
    replace(home, volatility((0, "V:A", 0, 1.0), (1, "V:A", 0, 2.0), (2, "V:A", 0, 3.0)), (0, 3))
    replace(home, volatility((1, "V:A", 5, 9.0)), (1, 2))
    assert values(home) == [("V:A", 0, 1.0), ("V:A", 5, 9.0), ("V:A", 0, 3.0)]


def test_with_symbols_the_rows_of_others_stay(home):
    replace(home, volatility((0, "V:A", 0, 1.0), (0, "V:B", 0, 2.0)), (0, 1))
    replace(home, volatility((0, "V:B", 0, 9.0)), (0, 1), ["V:B"])
    assert values(home) == [("V:A", 0, 1.0), ("V:B", 0, 9.0)]


def test_a_correlation_is_replaced_only_between_two_of_the_symbols(home):
    replace(home, correlation((0, "V:A", "V:B", 0.1), (0, "V:B", "V:C", 0.2)), (0, 1))
    replace(home, correlation((0, "V:A", "V:B", 0.9)), (0, 1), ["V:A", "V:B"])
    frame = daily.read(home, DAILY_CORRELATION)
    assert frame["hayashi_yoshida"].to_list() == [0.9, 0.2]


def test_an_empty_frame_removes_the_days(home):
    replace(home, volatility((0, "V:A", 0, 1.0)), (0, 1))
    replace(home, volatility((0, "V:A", 0, 1.0)).clear(), (0, 1))
    assert values(home) == []


def test_a_read_has_the_days_that_begin_in_its_range(home):
    replace(home, volatility(*((day, "V:A", 0, float(day)) for day in range(4))), (0, 4))
    frame = daily.read(home, DAILY_VOLATILITY, D0 + DAY_US, D0 + 3 * DAY_US)
    assert frame["rv_5m"].to_list() == [1.0, 2.0]
    assert daily.read(home, DAILY_VOLATILITY, symbols=["V:B"]).is_empty()


def test_a_stale_table_is_refreshed_before_the_replacement(home):
    stale = home.table(DAILY_VOLATILITY)
    replace(home, volatility((0, "V:A", 0, 1.0)), (0, 1))
    arrow = stale.scan().to_arrow()
    assert arrow.num_rows == 0
    daily.overwrite(stale, arrow, daily._row_filter(DAILY_VOLATILITY, D0, D0 + DAY_US, None))
    assert values(home) == []
