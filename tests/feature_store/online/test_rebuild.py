"""An emptied Redis is refilled from the lakehouse with the newest row per symbol and view.

Backfilled rows win over live ones; older never replaces newer.
"""

import datetime as dt

import polars as pl
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow

from contracts.errors import ServiceError
from contracts.windows import LEVELS
from feature_store.online import redis_layout
from feature_store.online.rebuild import newest_rows, rebuild
from feature_store.online.store import write_rows
from lakehouse.schemas import FEATURE_NAMES, GOLD, GOLD_LIVE, schema
from lakehouse.tables import Lakehouse
from tests.feature_store.online.test_store import stored
from tests.support.feature_rows import NOW_MS, NOW_US, feature_row, plain_row

HOUR_MS = 3_600_000
LATER_US = NOW_US + 60_000_000  # every bar up to NOW_US is closed


@pytest.fixture
def lake(store_settings, tmp_path):
    settings = store_settings.model_copy(update={"home": tmp_path})
    catalog = Lakehouse(settings).catalog
    catalog.create_namespace("gold")
    for table in (
        GOLD,
        GOLD_LIVE,
    ):  # not partitioned: PyIceberg alone cannot write a day partition, Flink does
        catalog.create_table(table, schema(table))
    return settings


def append(settings, table, *rows):
    frame = pl.DataFrame(
        [
            {name: row.get(name) for name in FEATURE_NAMES} | {"event_time": time_of(row)}
            for row in rows
        ],
        infer_schema_length=None,
    )
    target = Lakehouse(settings).table(table)
    nulls = [
        pl.col(name).cast(pl.Float64) for name, kind in frame.schema.items() if kind == pl.Null
    ]
    target.append(
        frame.with_columns(nulls)
        .to_arrow()
        .cast(schema_to_pyarrow(target.schema(), include_field_ids=False))
    )


def time_of(row):
    return dt.datetime.fromtimestamp(row["event_time_ms"] / 1000, dt.UTC)


def test_the_newest_row_of_every_symbol_and_view_comes_back(client, lake):
    symbols = ["A:X", "B:X"]
    for hours in (20, 3, 0):
        rows = [
            feature_row(lv.view, s, NOW_MS - hours * HOUR_MS - at, seed=at)
            for lv in LEVELS
            for at, s in enumerate(symbols)
        ]
        append(lake, GOLD if hours else GOLD_LIVE, *rows)
    append(
        lake,
        GOLD,
        plain_row("tick_1s", "OLD:X", NOW_MS - 5 * HOUR_MS, 5.0),
        plain_row("tick_1s", "GONE:X", NOW_MS - 25 * HOUR_MS),
    )
    done = rebuild(lake, NOW_US)
    assert (done.written, done.malformed) == (2 * len(LEVELS) + 1, 0)
    for level in LEVELS:
        for at, symbol in enumerate(symbols):
            assert stored(client, level.view, symbol)[0] == NOW_MS - at
    assert stored(client, "tick_1s", "OLD:X") == (NOW_MS - 5 * HOUR_MS, 5.0)
    assert not client.exists(redis_layout.entity_key("GONE:X"))


def test_a_backfilled_row_wins_over_the_live_one_of_equal_time(client, lake):
    append(lake, GOLD, plain_row(value=2.0))
    append(lake, GOLD_LIVE, plain_row(value=1.0))
    assert newest_rows(lake, "tick_1s", LATER_US).height == 1
    rebuild(lake, LATER_US)
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 2.0)


def test_a_row_computed_before_its_bar_was_closed_loses_against_the_live_one(client, lake):
    """It lacks the newest ticks, so it was known earlier."""
    early = plain_row(value=2.0)
    append(lake, GOLD, early | {"known_at_us": early["known_at_us"] - 500_000})
    append(lake, GOLD_LIVE, plain_row(value=1.0))
    rebuild(lake, LATER_US)
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 1.0)


def test_a_backfilled_row_of_an_open_bar_never_replaces_what_the_writer_wrote(client, lake):
    write_rows(client, [plain_row(value=9.0)], lake, NOW_US)
    append(lake, GOLD, plain_row(value=2.0), plain_row(time_ms=NOW_MS - 60_000, value=1.0))
    rebuild(lake, NOW_US)
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 9.0)


def test_rebuilding_next_to_the_live_stream_makes_nothing_older(client, lake):
    append(lake, GOLD, plain_row(time_ms=NOW_MS - 60_000, value=1.0))
    write_rows(client, [plain_row(value=9.0)], lake, NOW_US)
    done = rebuild(lake, NOW_US)
    assert (done.written, done.older) == (0, 1)
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 9.0)


def test_an_empty_lakehouse_writes_nothing(client, lake):
    assert rebuild(lake, NOW_US).written == 0


def test_redis_away_is_said(lake):
    append(lake, GOLD, plain_row())
    with pytest.raises(ServiceError, match="Redis"):
        rebuild(lake.model_copy(update={"redis_port": 1}), LATER_US)
