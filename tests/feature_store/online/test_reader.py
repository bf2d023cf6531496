"""The online reader: order by name, ages, gaps, timeouts; it never guesses and never hangs."""

import asyncio
import threading

import pytest

from contracts.errors import TickError
from contracts.features import COLUMNS, CORE
from contracts.windows import LEVELS
from feature_store.online import redis_layout
from feature_store.online.reader import VIEW_OF, OnlineReader, OnlineStoreUnavailable
from feature_store.online.store import OnlineTable, write_rows
from tests.support.feature_rows import NOW_MS, NOW_US, feast_double, feature_row, plain_row

SYMBOL = "BINANCE:BTCUSDT"
STALE_US = 300 * 1_000_000


def read(settings, symbols=(SYMBOL,), names=CORE, now_us=NOW_US):
    async def go():
        reader = OnlineReader(settings, names)
        try:
            return await reader.read(symbols, now_us)
        finally:
            await reader.close()

    return asyncio.run(go())


def write(client, settings, *rows):
    assert write_rows(client, rows, settings, NOW_US).written == len(rows)


def complete(client, settings, symbol=SYMBOL, value=1.0, time_ms=NOW_MS):
    write(client, settings, *(plain_row(level.view, symbol, time_ms, value) for level in LEVELS))


@pytest.mark.parametrize(
    "names", [CORE, tuple(reversed(CORE)), tuple(c.name for c in COLUMNS), CORE[3:4]], ids=len
)
def test_values_come_in_the_order_of_the_names(client, store_settings, names):
    rows = [feature_row(level.view, seed=at) for at, level in enumerate(LEVELS)]
    write(client, store_settings, *rows)
    by_view = {row["view"]: row for row in rows}
    [got] = read(store_settings, names=names)
    assert got.values == [by_view[VIEW_OF[name]][name] for name in names]
    assert got.missing == tuple(name for name in names if by_view[VIEW_OF[name]][name] is None)


def test_a_complete_fresh_row(client, store_settings):
    complete(client, store_settings, time_ms=NOW_MS - 1500)
    [got] = read(store_settings)
    assert got.found and got.complete
    assert (got.age_s, got.warm_s, got.known_at_us) == (1.5, 3600, (NOW_MS - 1500) * 1000 + 700)
    assert got.event_time_us == {level.view: (NOW_MS - 1500) * 1000 for level in LEVELS}


def test_an_unknown_symbol_is_not_found(client, store_settings):
    complete(client, store_settings)
    got = read(store_settings, ["NO:SUCH", SYMBOL, ""])
    assert [row.found for row in got] == [False, True, False]
    assert got[0].missing == CORE and got[0].age_s is None and not got[0].complete


def test_many_symbols_in_their_order(client, store_settings):
    symbols = [f"A:S{i}" for i in range(100)]
    for at, symbol in enumerate(symbols):
        complete(client, store_settings, symbol, float(at))
    requested = [*reversed(symbols), symbols[0], symbols[0]]
    got = read(store_settings, requested)
    assert [row.symbol for row in got] == requested
    assert [row.values[0] for row in got] == [float(symbol[3:]) for symbol in requested]
    assert read(store_settings, []) == []


def test_a_view_never_written_is_named_feature_by_feature(client, store_settings):
    write(client, store_settings, plain_row("tick_1s"), plain_row("tick_10s"))
    [got] = read(store_settings)
    assert got.found and got.event_time_us["tick_1m"] is None
    assert got.missing == tuple(name for name in CORE if VIEW_OF[name] == "tick_1m")


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_a_view_may_be_as_old_as_its_own_cadence_and_the_bound(client, store_settings, level):
    write(
        client,
        store_settings,
        *(plain_row(lv.view, time_ms=NOW_MS) for lv in LEVELS if lv is not level),
        plain_row(level.view),
    )
    limit_us = STALE_US + level.tile_s * 1_000_000
    assert level.view not in read(store_settings, now_us=NOW_US + limit_us)[0].old_views
    [old] = read(store_settings, now_us=NOW_US + limit_us + 1)
    assert level.view in old.old_views and not old.complete


def test_age_is_that_of_the_fastest_view(client, store_settings):
    write(
        client,
        store_settings,
        plain_row("tick_1s", time_ms=NOW_MS - 7000),
        plain_row("tick_10s"),
        plain_row("tick_1m"),
    )
    only_slow = [name for name in CORE if VIEW_OF[name] == "tick_1m"]
    assert read(store_settings)[0].age_s == 7.0
    assert read(store_settings, names=only_slow)[0].age_s == 7.0


def test_the_time_to_live_holds_per_view(client, store_settings):
    complete(client, store_settings)
    ttl_us = store_settings.redis_ttl_s * 1_000_000
    assert read(store_settings, now_us=NOW_US + ttl_us)[0].found
    [gone] = read(store_settings, now_us=NOW_US + ttl_us + 1)
    assert not gone.found and set(gone.values) == {None} and gone.missing == CORE


def test_warm_is_the_least_and_known_the_newest(client, store_settings):
    for level, warm, known in zip(LEVELS, (3600, 40, 900), (5, 9, 7), strict=True):
        write(
            client, store_settings, plain_row(level.view) | {"warm_s": warm, "known_at_us": known}
        )
    [got] = read(store_settings)
    assert (got.warm_s, got.known_at_us) == (40, 9)


def test_what_is_not_finite_is_missing(client, store_settings):
    complete(client, store_settings)
    for at, value in enumerate((float("inf"), float("nan"))):
        client.hset(
            redis_layout.entity_key(SYMBOL),
            redis_layout.field(VIEW_OF[CORE[at]], CORE[at]),
            feast_double(value),
        )
    assert read(store_settings)[0].missing == CORE[:2]


def test_unknown_features_are_refused_by_name(store_settings):
    with pytest.raises(TickError, match="no_such_feature"):
        OnlineReader(store_settings, ["no_such_feature"])


def test_heartbeat(client, store_settings):
    async def beat():
        reader = OnlineReader(store_settings)
        try:
            return await reader.heartbeat_ms()
        finally:
            await reader.close()

    assert asyncio.run(beat()) is None
    OnlineTable(client, store_settings).write([], NOW_MS, NOW_MS - 3)
    assert asyncio.run(beat()) == NOW_MS - 3


def test_a_stalled_redis_raises_and_the_same_reader_recovers(redis_server, client, store_settings):
    complete(client, store_settings)

    async def story():
        reader = OnlineReader(store_settings)
        assert (await reader.read([SYMBOL], NOW_US))[0].complete
        redis_server.stall()
        try:
            for symbols in ([SYMBOL], [SYMBOL, "A:B"]):
                with pytest.raises(OnlineStoreUnavailable, match="tick status"):
                    await asyncio.wait_for(
                        reader.read(symbols, NOW_US), 30
                    )  # a hang, not a measurement
            with pytest.raises(OnlineStoreUnavailable):
                await asyncio.wait_for(reader.heartbeat_ms(), 30)
        finally:
            redis_server.resume()
        client.ping()
        assert (await reader.read([SYMBOL], NOW_US))[0].complete
        await reader.close()

    asyncio.run(story())


def test_a_killed_redis_raises_and_the_same_reader_recovers(redis_server, client, store_settings):
    complete(client, store_settings)

    async def story():
        reader = OnlineReader(store_settings)
        assert (await reader.read([SYMBOL], NOW_US))[0].complete
        redis_server.kill()
        try:
            with pytest.raises(OnlineStoreUnavailable):
                await reader.read([SYMBOL], NOW_US)
        finally:
            redis_server.start()
        assert (await reader.read([SYMBOL], NOW_US))[0].complete
        await reader.close()

    asyncio.run(story())


def test_more_readers_than_connections_wait_their_turn(client, store_settings):
    complete(client, store_settings)
    calm = store_settings.model_copy(
        update={
            "redis_connections_max": 2,
            "redis_timeout_ms": 20_000,
            "feature_read_ms_max": 20_000,
        }
    )

    async def crowd():
        reader = OnlineReader(calm)
        rows = await asyncio.gather(*(reader.read([SYMBOL], NOW_US) for _ in range(50)))
        connected = [c for c in client.client_list() if c["cmd"] == "hmget"]
        await reader.close()
        return rows, connected

    rows, connected = asyncio.run(crowd())
    assert all(row[0].complete for row in rows) and len(connected) <= 2


def test_a_reader_never_sees_half_a_row(client, store_settings):
    """All features of a view are written in one step: a concurrent reader sees one value in all."""
    # about what is read, not about how fast
    calm = store_settings.model_copy(
        update={"redis_timeout_ms": 20_000, "feature_read_ms_max": 20_000}
    )
    complete(client, calm)
    stop = threading.Event()

    def busy():
        table = OnlineTable(client, calm)
        from feature_store.online.store import encode_row

        at = 0
        while not stop.is_set():
            at += 1
            table.write([encode_row(plain_row(time_ms=NOW_MS, value=float(at)))], NOW_MS)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        names = [c.name for c in COLUMNS if c.view == "tick_1s"]
        for _ in range(100):
            [got] = read(calm, names=names)
            assert len(set(got.values)) == 1
    finally:
        stop.set()
        thread.join()
