"""The guard never writes older over newer, whatever the order, the batches, the crashes."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import redis_keys
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.online import redis_layout
from feature_store.online.store import (
    MalformedRowError,
    OnlineTable,
    encode_row,
    script,
    write_rows,
)
from tests.support.feature_rows import NOW_MS, NOW_US, feast_double, feature_row, plain_row

FIRST = columns(LEVELS[0])[0].name


def stored(client, view, symbol, name=None):
    """(event time ms, value) of one stored feature."""
    column = name or columns(next(lv for lv in LEVELS if lv.view == view))[0].name
    time, value = client.hmget(
        redis_layout.entity_key(symbol),
        [redis_layout.time_field(view), redis_layout.field(view, column)],
    )
    time_us = redis_layout.decode_time_us(time)
    return (None if time_us is None else time_us // 1000), redis_layout.decode_double(value)


def write(client, store_settings, *rows, now_us=NOW_US):
    return write_rows(client, rows, store_settings, now_us)


def test_newer_replaces_older_and_not_the_other_way(client, store_settings):
    assert write(client, store_settings, plain_row(time_ms=NOW_MS - 1000, value=1.0)).written == 1
    assert write(client, store_settings, plain_row(time_ms=NOW_MS, value=2.0)).written == 1
    late = write(client, store_settings, plain_row(time_ms=NOW_MS - 1, value=3.0))
    assert (late.written, late.older) == (0, 1)
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 2.0)


def test_a_corrected_row_of_equal_time_replaces(client, store_settings):
    write(client, store_settings, plain_row(value=1.0))
    assert write(client, store_settings, plain_row(value=9.0)).written == 1
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 9.0)


@pytest.mark.parametrize(
    "seconds",
    [0, 1, 127, 128, 16_383, 16_384, 2**21, 2**28 - 1, 2**28, 1_700_000_000, 2**31, 2**32],
)
@pytest.mark.parametrize("ms", [0, 1, 999])
def test_the_guard_reads_any_time_stamp(client, store_settings, seconds, ms):
    time_ms = seconds * 1000 + ms + 1
    now_us = (time_ms + 10) * 1000
    for offset, expected in ((0, 1), (-1, 0), (1, 1), (0, 0)):
        assert (
            write(
                client, store_settings, plain_row(time_ms=time_ms + offset), now_us=now_us
            ).written
            == expected
        )


def test_a_row_of_the_future_is_refused_and_counted(client, store_settings):
    bound_ms = NOW_MS + store_settings.future_row_ms_max
    done = write(
        client,
        store_settings,
        plain_row(time_ms=bound_ms + 1),
        plain_row(symbol="A:B", time_ms=bound_ms),
    )
    assert (done.written, done.future) == (1, 1)
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (None, None)


def test_a_stored_future_does_not_freeze_its_symbol(client, store_settings):
    year_us = 365 * 86_400 * 1_000_000
    write(
        client,
        store_settings,
        plain_row(time_ms=(NOW_US + year_us) // 1000),
        now_us=NOW_US + year_us,
    )
    assert write(client, store_settings, plain_row(value=4.0)).written == 1
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 4.0)


def test_nan_and_infinity_are_stored_as_null(client, store_settings):
    names = [column.name for column in columns(LEVELS[0])]
    row = plain_row() | {
        names[0]: math.nan,
        names[1]: math.inf,
        names[2]: -math.inf,
        names[3]: None,
    }
    assert write(client, store_settings, row).written == 1
    raw = client.hmget(
        redis_layout.entity_key(row["symbol"]),
        [redis_layout.field("tick_1s", name) for name in names[:5]],
    )
    assert raw == [b"", b"", b"", b"", feast_double(1.0)]


def test_sums_beyond_double_do_not_hide_values(client, store_settings):
    write(client, store_settings, plain_row(value=1.7e308))
    assert stored(client, "tick_1s", "BINANCE:BTCUSDT") == (NOW_MS, 1.7e308)


def test_a_column_the_job_does_not_know_yet_is_null(client, store_settings):
    row = plain_row()
    del row[FIRST]
    assert write(client, store_settings, row | {"column_of_tomorrow": 1.0}).written == 1
    assert stored(client, "tick_1s", row["symbol"]) == (NOW_MS, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"view": "tick_2s"},
        {"view": ["tick_1s"]},
        {"view": None},
        {"symbol": ""},
        {"symbol": 7},
        {"symbol": "X" * 66},
        {"event_time_ms": None},
        {"event_time_ms": "1"},
        {"event_time_ms": -1},
        {"event_time_ms": 1.0},
        {"event_time_ms": True},
        {"event_time_ms": 2**63},
        {"warm_s": None},
        {"known_at_us": 1.5},
        {FIRST: "1.0"},
        {FIRST: [1.0]},
        {FIRST: 10**400},
    ],
)
def test_malformed_rows_are_counted_and_stop_no_one(client, store_settings, wrong):
    with pytest.raises(MalformedRowError):
        encode_row(plain_row() | wrong)
    done = write(client, store_settings, plain_row() | wrong, plain_row(symbol="GOOD:ONE"))
    assert (done.malformed, done.written) == (1, 1)


def test_views_do_not_touch_each_other(client, store_settings):
    write(
        client,
        store_settings,
        *(plain_row(lv.view, time_ms=NOW_MS - lv.tile_s, value=float(lv.tile_s)) for lv in LEVELS),
    )
    for level in LEVELS:
        assert stored(client, level.view, "BINANCE:BTCUSDT") == (
            NOW_MS - level.tile_s,
            float(level.tile_s),
        )


def test_every_write_renews_the_time_to_live(client, store_settings):
    write(client, store_settings, plain_row())
    key = redis_layout.entity_key("BINANCE:BTCUSDT")
    client.expire(key, 5)
    write(client, store_settings, plain_row())
    assert store_settings.redis_ttl_s - 5 <= client.ttl(key) <= store_settings.redis_ttl_s


def test_scripts_stay_below_the_register_limit():
    for level in LEVELS:
        assert max(line.count(",") for line in script(level).splitlines()) <= 110


MOMENTS = st.tuples(
    st.sampled_from([lv.view for lv in LEVELS]),
    st.sampled_from(["A:X", "A:Y", "B:X"]),
    st.integers(0, 20),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_and_batching_ends_with_the_newest_row(client, store_settings, data):
    client.flushall()
    moments = data.draw(st.lists(MOMENTS, min_size=1, max_size=30))
    rows = [
        feature_row(view, symbol, NOW_MS - at * 500, **{_first(view): float(at)})
        for view, symbol, at in moments
    ]
    table, at = OnlineTable(client, store_settings), 0
    while at < len(rows):
        size = data.draw(st.integers(1, 7))
        done = table.write([encode_row(row) for row in rows[at : at + size]], NOW_MS)
        assert done.written + done.older == len(rows[at : at + size])
        at += size
    newest: dict = {}
    for view, symbol, age in moments:
        newest[view, symbol] = min(age, newest.get((view, symbol), 99))
    for (view, symbol), age in newest.items():
        assert stored(client, view, symbol) == (NOW_MS - age * 500, float(age))


def _first(view):
    return columns(next(lv for lv in LEVELS if lv.view == view))[0].name


def test_the_heartbeat_only_rises_and_never_from_the_future(client, store_settings):
    table = OnlineTable(client, store_settings)
    seen = []
    for beat_ms in (NOW_MS - 10, NOW_MS - 20, NOW_MS, NOW_MS + 3_600_000):
        table.write([], NOW_MS, beat_ms)
        seen.append(int(client.get(redis_keys.HEARTBEAT_KEY)))
    assert seen == [NOW_MS - 10, NOW_MS - 10, NOW_MS, NOW_MS]


def test_kill_and_restart_keep_every_acknowledged_row(redis_server, client, store_settings):
    table = OnlineTable(client, store_settings)
    rows = [encode_row(plain_row(symbol=f"A:S{i}", value=float(i))) for i in range(200)]
    assert table.write(rows, NOW_MS).written == 200
    redis_server.kill()
    redis_server.start()
    assert [stored(client, "tick_1s", f"A:S{i}") for i in range(200)] == [
        (NOW_MS, float(i)) for i in range(200)
    ]
    assert (
        table.write(rows, NOW_MS).written == 200
    )  # the scripts are gone with the process; the table loads them again
