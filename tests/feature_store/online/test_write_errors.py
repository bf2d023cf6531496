"""Errors of a write: a damaged key costs its own rows only, an outage of Redis costs none."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from contracts.redis_keys import HEARTBEAT_KEY
from contracts.windows import LEVELS
from feature_store.online import redis_layout
from feature_store.online.store import OnlineTable, encode_row, write_rows
from feature_store.online.write_errors import is_damage, is_out_of_memory
from tests.feature_store.online.test_store import stored
from tests.support.feature_rows import NOW_MS, NOW_US, plain_row

POISON = "BINANCE:POISON"
GOOD = "BINANCE:BTCUSDT"


def spoil_type(client):
    client.set(redis_layout.entity_key(POISON), "not a hash")


def spoil_time(client):
    client.hset(redis_layout.entity_key(POISON), redis_layout.time_field("tick_1s"), b"\xff\xff")


@pytest.mark.parametrize("spoil", [spoil_type, spoil_time])
def test_a_damaged_key_costs_its_own_row_only(client, store_settings, spoil):
    spoil(client)
    rows = [plain_row(symbol=POISON), plain_row(symbol=GOOD, value=2.0)]
    counts = write_rows(client, rows, store_settings, NOW_US)
    assert (counts.written, counts.damaged, counts.older) == (1, 1, 0)
    assert stored(client, "tick_1s", GOOD) == (NOW_MS, 2.0)
    client.delete(redis_layout.entity_key(POISON))
    assert write_rows(client, rows, store_settings, NOW_US).written == 2, "as the runbook says"


@pytest.mark.parametrize("garbage", [b"\x00", b"\x08", b"\x80" * 40, b"text", b"\x18\x05", b""])
@pytest.mark.parametrize("view", [level.view for level in LEVELS])
def test_no_bytes_of_a_stored_time_stop_the_other_symbols(client, store_settings, garbage, view):
    client.hset(redis_layout.entity_key(POISON), redis_layout.time_field(view), garbage)
    rows = [plain_row(view, POISON), plain_row(view, GOOD)]
    counts = write_rows(client, rows, store_settings, NOW_US)
    assert counts.written + counts.damaged == 2
    assert stored(client, view, GOOD) == (NOW_MS, 1.0)


@pytest.mark.parametrize("spoil", ["garbage", "list"])
def test_a_damaged_heartbeat_is_replaced(client, store_settings, spoil):
    if spoil == "list":
        client.rpush(HEARTBEAT_KEY, 1)
    else:
        client.set(HEARTBEAT_KEY, spoil)
    OnlineTable(client, store_settings).write([], NOW_MS, NOW_MS - 3)
    assert int(client.get(HEARTBEAT_KEY)) == NOW_MS - 3


@pytest.mark.parametrize("option", [{"maxmemory": 1}, {"min-replicas-to-write": 1}])
def test_a_redis_that_takes_no_writes_is_not_a_damaged_key(client, store_settings, option):
    (name,) = option
    client.config_set(name, option[name])
    try:
        with pytest.raises(ResponseError) as error:
            write_rows(client, [plain_row(symbol=GOOD)], store_settings, NOW_US)
    finally:
        client.config_set(name, 0)
    assert not is_damage(error.value)
    assert is_out_of_memory(error.value) is (name == "maxmemory")
    assert write_rows(client, [plain_row(symbol=GOOD)], store_settings, NOW_US).written == 1


@pytest.mark.parametrize(
    ("error", "damage"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", True),
        # Redis 7 puts the reason first, Redis 6 last.
        ("WRONGTYPE Operation against a key … script: 8898e, on @user_script:16.", True),
        ("ERR user_script:8: attempt to perform arithmetic on local 'byte' script: 8898e", True),
        ("OOM command not allowed when used memory > 'maxmemory'. script: 8898e", False),
        ("MISCONF Errors writing to the AOF file: No space left on device", False),
        ("READONLY You can't write against a read only replica.", False),
        ("NOPERM this user has no permissions to run the 'evalsha' command", False),
    ],
)
def test_a_response_is_damage_when_its_cause_is_in_the_stored_value(error, damage):
    assert is_damage(ResponseError(error)) is damage


def test_a_lost_connection_is_never_damage():
    assert not is_damage(RedisConnectionError("WRONGTYPE"))
    assert not is_out_of_memory(RedisConnectionError("Connection refused"))
    assert is_out_of_memory(OutOfMemoryError("command not allowed"))


def test_an_error_is_reported_without_the_bytes_of_the_row(client, store_settings):
    spoil_type(client)
    counts = OnlineTable(client, store_settings).write(
        [encode_row(plain_row(symbol=POISON))], NOW_MS
    )
    assert "WRONGTYPE" in counts.damage and POISON in counts.damage
    assert len(counts.damage) < 300 and counts.damage.isprintable()
