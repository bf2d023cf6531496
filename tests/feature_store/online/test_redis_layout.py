"""The layout against the installed Feast, both ways, byte for byte."""

import asyncio
import math
from datetime import UTC, datetime

import pytest
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from contracts.features import COLUMNS, CORE, columns
from contracts.windows import LEVELS
from feature_store.feast_repo import objects as feast_objects
from feature_store.online import redis_layout
from feature_store.online.reader import OnlineReader
from feature_store.online.store import write_rows
from tests.support.feature_rows import NOW_MS, NOW_US, feast_double, feature_row

LONGS = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def feast_store(store_settings):
    feast_objects.apply(store_settings)
    return feast_objects.store(store_settings)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=65))
def test_entity_key_is_feasts(symbol):
    key = EntityKey(join_keys=[redis_layout.ENTITY], entity_values=[Value(string_val=symbol)])
    assert redis_layout.entity_key(symbol) == _redis_key(redis_layout.PROJECT, key)


def test_fields_are_feasts():
    for column in COLUMNS:
        assert redis_layout.field(column.view, column.name) == _mmh3(f"{column.view}:{column.name}")


def test_no_two_fields_collide():
    names = [(c.view, c.name) for c in COLUMNS] + [
        (lv.view, extra) for lv in LEVELS for extra in redis_layout.METADATA_NAMES
    ]
    assert len({redis_layout.field(*name) for name in names}) == len(names)


@given(st.floats())
def test_double_is_feasts(value):
    assert feast_double(value) == Value(double_val=value).SerializeToString()
    assert redis_layout.decode_double(feast_double(value)) == (
        value if math.isfinite(value) else None
    )


@given(LONGS)
def test_int64_is_feasts(value):
    assert redis_layout.encode_int64(value) == Value(int64_val=value).SerializeToString()
    assert redis_layout.decode_int64(redis_layout.encode_int64(value)) == value


@given(st.integers(0, 253_402_300_799_999))
def test_time_is_feasts(time_ms):
    stamp = Timestamp()
    stamp.FromMilliseconds(time_ms)
    assert redis_layout.encode_time_ms(time_ms) == stamp.SerializeToString()
    assert redis_layout.decode_time_us(stamp.SerializeToString() or None) == (
        time_ms * 1000 if time_ms else None
    )


@pytest.mark.parametrize(
    "foreign",
    [
        Value(),
        Value(null_val=0),
        Value(float_val=1.0),
        Value(string_val="12345678"),
        Value(int64_val=2**62),
    ],
)
def test_a_value_that_is_not_a_double_is_missing(foreign):
    assert redis_layout.decode_double(foreign.SerializeToString()) is None


def test_null_is_feasts():
    assert feast_double(None) == Value().SerializeToString()
    assert redis_layout.decode_int64(b"") is None


def _ask_feast(feast_store, view, symbol):
    names = [c.name for c in columns(next(lv for lv in LEVELS if lv.view == view))] + list(
        redis_layout.METADATA_NAMES
    )
    answer = feast_store.get_online_features(
        [f"{view}:{name}" for name in names], [{"symbol": symbol}]
    ).to_dict()
    return {name: answer[name][0] for name in names}


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_feast_reads_what_we_write(client, store_settings, feast_store, level):
    for seed in range(10):
        row = feature_row(
            level.view, f"BINANCE:S{seed}", NOW_MS - seed, seed=seed, warm_s=seed * 50
        )
        assert write_rows(client, [row], store_settings, NOW_US).written == 1
        read = _ask_feast(feast_store, level.view, row["symbol"])
        assert read == {name: row[name] for name in read}


def test_feast_service_reads_the_core_set(client, store_settings, feast_store):
    rows = [feature_row(level.view, "BYBIT:ETHUSDT", seed=3) for level in LEVELS]
    write_rows(client, rows, store_settings, NOW_US)
    answer = feast_store.get_online_features(
        feast_store.get_feature_service(feast_objects.SERVICE), [{"symbol": "BYBIT:ETHUSDT"}]
    ).to_dict()
    merged = {name: value for row in rows for name, value in row.items()}
    assert {name: answer[name][0] for name in CORE} == {name: merged[name] for name in CORE}


def test_we_read_what_feast_writes(client, store_settings, feast_store):
    import pandas as pd

    names = [column.name for column in COLUMNS]
    time_us, rows = NOW_US - 123_000, {}
    for level in LEVELS:
        row = rows[level.view] = feature_row(level.view, "CME:ESU4", NOW_MS, seed=5, warm_s=77)
        frame = pd.DataFrame(
            {
                name: [row[name]]
                for name in [*(c.name for c in columns(level)), *redis_layout.METADATA_NAMES]
            }
        ).astype({c.name: "float64" for c in columns(level)})
        frame.insert(0, "symbol", ["CME:ESU4"])
        frame["event_timestamp"] = [datetime.fromtimestamp(time_us / 1e6, UTC)]
        feast_store.write_to_online_store(level.view, frame)
    [read] = asyncio.run(_read(store_settings, ["CME:ESU4"], names))
    assert read.found
    assert set(read.event_time_us.values()) == {time_us}
    assert (read.warm_s, read.known_at_us) == (77, rows["tick_1s"]["known_at_us"])
    merged = {name: value for row in rows.values() for name, value in row.items()}
    assert {n: v for n, v in zip(names, read.values, strict=True)} == {n: merged[n] for n in names}


async def _read(settings, symbols, names):
    reader = OnlineReader(settings, names)
    try:
        return await reader.read(symbols, NOW_US)
    finally:
        await reader.close()
