"""What the read plan makes of any bytes, against a slow reading; keys that are not Feast's."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.features import COLUMNS, CORE
from contracts.windows import LEVELS
from feature_store.online import redis_layout as layout
from feature_store.online.reader import (
    FASTEST,
    TILE_S,
    VIEW_OF,
    OnlineReader,
    OnlineStoreUnavailable,
    ReadPlan,
)
from feature_store.online.store import write_rows
from tests.support.feature_rows import NOW_US, feast_double, plain_row

SETTINGS = Settings()
NAMES = tuple(column.name for column in COLUMNS)
DOUBLES = st.none() | st.floats().map(feast_double) | st.just(layout.encode_int64(3))
INTEGERS = st.none() | st.integers(0, 2**62).map(layout.encode_int64)
AGES_MS = st.integers(-1000, 3 * SETTINGS.redis_ttl_s * 1000 // 2)
TIMES = st.none() | AGES_MS.map(lambda age_ms: layout.encode_time_ms(NOW_US // 1000 - age_ms))


def call(settings, method, *arguments):
    async def go():
        reader = OnlineReader(settings)
        try:
            return await getattr(reader, method)(*arguments)
        finally:
            await reader.close()

    return asyncio.run(go())


@st.composite
def stored_rows(draw):
    """A plan of some features and the bytes of its fields."""
    plan = ReadPlan(draw(st.lists(st.sampled_from(NAMES), max_size=8, unique=True)), SETTINGS)
    raw = [draw(DOUBLES) for _ in plan.names]
    for _ in plan.views:
        raw += [draw(TIMES), draw(INTEGERS), draw(INTEGERS)]
    return plan, raw


@given(stored_rows())
def test_a_row_is_what_a_field_by_field_reading_says(stored):
    plan, raw = stored
    by_field = dict(zip(plan.fields, raw, strict=True))
    row = plan.row("A:B", raw, NOW_US)
    times = {view: layout.decode_time_us(by_field[layout.time_field(view)]) for view in plan.views}
    ttl_us = SETTINGS.redis_ttl_s * 1_000_000
    times = {v: None if t is not None and NOW_US - t > ttl_us else t for v, t in times.items()}
    present = {view: time for view, time in times.items() if time is not None}
    for name, value in zip(plan.names, row.values, strict=True):
        view = VIEW_OF[name]
        stored_value = layout.decode_double(by_field[layout.field(view, name)])
        assert value == (stored_value if view in present else None)
        assert (name in row.missing) == (value is None)
    assert row.event_time_us == times and row.found == bool(present)
    limits_us = {view: (TILE_S[view] + SETTINGS.stale_s) * 1_000_000 for view in present}
    assert set(row.old_views) == {v for v in present if NOW_US - present[v] > limits_us[v]}
    metadata = [
        [layout.decode_int64(by_field[layout.field(view, name)]) or 0 for view in present]
        for name in layout.METADATA_NAMES
    ]
    assert row.warm_s == min(metadata[0], default=0)
    assert row.known_at_us == max(metadata[1], default=0)
    assert (row.age_s is None) == (FASTEST not in present) and (row.age_s or 0) >= 0


def test_the_fastest_view_is_always_read_for_the_age():
    assert ReadPlan((), SETTINGS).views == (FASTEST,)
    slow = next(column.name for column in COLUMNS if column.view == LEVELS[-1].view)
    assert ReadPlan((slow,), SETTINGS).views == (FASTEST, LEVELS[-1].view)


def test_every_unknown_name_is_listed_with_the_way_on():
    with pytest.raises(TickError, match="unknown features: one, two") as error:
        ReadPlan((CORE[0], "one", "two"), SETTINGS)
    assert "retrain it" in error.value.hint


def test_a_row_of_the_near_future_has_age_zero():
    plan = ReadPlan((), SETTINGS)
    ahead = layout.encode_time_ms(NOW_US // 1000 + 900)
    assert plan.row("A:B", [ahead, None, None], NOW_US).age_s == 0.0


def test_symbols_are_sorted_and_other_keys_are_not_symbols(client, store_settings):
    names = [f"A:S{i}" for i in (3, 1, 2)]
    write_rows(client, [plain_row(symbol=name) for name in names], store_settings, NOW_US)
    client.set("tick:heartbeat_ms", 1)
    assert call(store_settings, "symbols", 10) == sorted(names)


def test_symbols_are_bounded(client, store_settings):
    names = [f"A:S{i}" for i in range(30)]
    write_rows(client, [plain_row(symbol=name) for name in names], store_settings, NOW_US)
    assert call(store_settings, "symbols", 7) == sorted(names)[:7], "the same ones each time"
    assert call(store_settings, "symbols", 30) == sorted(names)


def test_an_empty_store_has_no_symbols(client, store_settings):
    assert call(store_settings, "symbols", 10) == []


def test_plain_keys_come_in_their_order(client, store_settings):
    client.mset({"tick:a": b"1", "tick:b": b"2"})
    assert call(store_settings, "get_values", "tick:b", "tick:x", "tick:a") == [b"2", None, b"1"]


def test_a_hash_that_is_absent_is_empty(client, store_settings):
    client.hset("tick:h", "f", "v")
    assert call(store_settings, "get_hash", "tick:h") == {b"f": b"v"}
    assert call(store_settings, "get_hash", "tick:x") == {}


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("read", (["A:B"], NOW_US)),
        ("read", (["A:B", "A:C"], NOW_US)),
        ("symbols", (3,)),
        ("get_values", ("tick:a",)),
        ("get_hash", ("tick:h",)),
        ("heartbeat_ms", ()),
        ("memory_bytes", ()),
    ],
)
def test_every_method_says_where_redis_was_expected(store_settings, method, arguments):
    away = store_settings.model_copy(update={"redis_port": 1})
    with pytest.raises(OnlineStoreUnavailable, match="does not answer") as error:
        call(away, method, *arguments)
    assert error.value.hint.startswith("is Redis running on") and ":1?" in error.value.hint


def test_a_key_of_the_wrong_type_is_an_error_of_the_store(client, store_settings):
    client.set("tick:h", "text")
    with pytest.raises(OnlineStoreUnavailable, match="WRONGTYPE"):
        call(store_settings, "get_hash", "tick:h")


def test_a_damaged_key_of_one_symbol_hides_no_other(client, store_settings):
    write_rows(client, [plain_row(symbol="A:GOOD")], store_settings, NOW_US)
    client.set(layout.entity_key("A:POISON"), "not a hash")
    client.set("x" + layout.PROJECT, 1)
    poison, good = call(store_settings, "read", ["A:POISON", "A:GOOD"], NOW_US)
    assert (poison.found, good.found) == (False, True)
    (alone,) = call(store_settings, "read", ["A:POISON"], NOW_US)
    assert not alone.found
    assert call(store_settings, "symbols", 10) == ["A:GOOD", "A:POISON"]


@given(st.binary(max_size=40))
def test_no_stored_bytes_fail_a_read(data):
    plan = ReadPlan(CORE, SETTINGS)
    row = plan.row("A:B", [data] * len(plan.fields), NOW_US)
    assert set(row.values) <= {None, layout.decode_double(data)}
    for value in (data, layout.encode_int64(0)[:1] + data):
        assert layout.decode_int64(value) is None or value[:1] == b"\x20"


@pytest.mark.parametrize("text", ["", "soon", "1.5", b"\xff"])
def test_a_damaged_heartbeat_is_none(client, store_settings, text):
    client.set("tick:heartbeat_ms", text)
    assert call(store_settings, "heartbeat_ms") is None


def test_the_memory_has_a_limit_or_none(client, store_settings):
    used, limit = call(store_settings, "memory_bytes")
    assert used > 100_000 and limit is None
    client.config_set("maxmemory", 10**9)
    try:
        assert call(store_settings, "memory_bytes")[1] == 10**9
    finally:
        client.config_set("maxmemory", 0)


def test_a_user_without_the_command_info_has_no_memory_figures(client, store_settings):
    client.acl_setuser("lean", enabled=True, nopass=True, commands=["+mget"], keys=["*"])
    lean = store_settings.model_copy(
        update={"redis_user": "lean", "redis_password": SecretStr("any")}
    )
    try:
        assert call(lean, "memory_bytes") == (None, None)
        assert call(lean, "heartbeat_ms") is None
    finally:
        client.acl_deluser("lean")
