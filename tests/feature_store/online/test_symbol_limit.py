"""The limit on symbols: symbols that Redis has go on, new ones beyond the limit get no key."""

import pytest

from feature_store.online import redis_layout
from feature_store.online.store import OnlineTable, encode_row, write_rows
from feature_store.online.symbol_limit import RESCAN_S, SymbolLimit
from tests.support.feature_rows import NOW_MS, NOW_US, plain_row


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def rows(*symbols, time_ms=NOW_MS):
    return [encode_row(plain_row(symbol=symbol, time_ms=time_ms)) for symbol in symbols]


def stored_symbols(client) -> set[str]:
    keys = client.scan_iter(match=b"*" + redis_layout.PROJECT.encode(), count=1000)
    return {redis_layout.symbol_of(key) for key in keys}


@pytest.fixture
def limited(store_settings):
    return store_settings.model_copy(update={"online_symbols_max": 2})


def test_a_new_symbol_beyond_the_limit_gets_no_key_and_the_others_go_on(client, limited):
    table = OnlineTable(client, limited)
    table.write(rows("X:A", "X:B"), NOW_MS)
    counts = table.write(rows("X:A", "X:C", "X:B", time_ms=NOW_MS + 1), NOW_MS)
    assert (counts.written, counts.over_limit) == (2, 1)
    assert stored_symbols(client) == {"X:A", "X:B"}


def test_a_writer_that_starts_again_counts_the_symbols_that_are_stored(client, limited):
    OnlineTable(client, limited).write(rows("X:A", "X:B"), NOW_MS)
    counts = OnlineTable(client, limited).write(rows("X:C", "X:A"), NOW_MS)
    assert (counts.written, counts.over_limit) == (1, 1)


def test_a_lower_limit_stops_no_symbol_that_is_stored(client, limited):
    OnlineTable(client, limited).write(rows("X:A", "X:B"), NOW_MS)
    one = limited.model_copy(update={"online_symbols_max": 1})
    counts = OnlineTable(client, one).write(rows("X:A", "X:B"), NOW_MS)
    assert (counts.written, counts.over_limit) == (2, 0)


def test_the_place_of_a_removed_symbol_is_free_within_a_minute(client, limited):
    clock = Clock()
    limit = SymbolLimit(client, limited.online_symbols_max, clock)
    table = OnlineTable(client, limited)
    table.write(rows("X:A", "X:B"), NOW_MS)
    assert limit.admit(rows("X:A", "X:B", "X:C")) == rows("X:A", "X:B")
    client.delete(redis_layout.entity_key("X:B"))
    assert limit.admit(rows("X:C")) == [], "Redis is not scanned for every row beyond the limit"
    clock.now_s += RESCAN_S
    assert limit.admit(rows("X:C")) == rows("X:C")


def test_keys_that_are_not_feasts_take_no_place(client, limited):
    client.set("mine:" + redis_layout.PROJECT, 1)
    client.set(b"\x01\xff" + redis_layout.PROJECT.encode(), 1)
    counts = OnlineTable(client, limited).write(rows("X:A", "X:B"), NOW_MS)
    assert (counts.written, counts.over_limit) == (2, 0)


def test_a_thousand_symbols_at_once_end_at_the_limit(client, limited):
    feature_rows = [plain_row(symbol=f"X:S{at}") for at in range(1000)]
    counts = write_rows(client, feature_rows, limited, NOW_US)
    assert (counts.written, counts.over_limit) == (2, 998)
    assert len(stored_symbols(client)) == 2
