"""Lines of a recorded socket: trades, lines that are skipped, and broken ones."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import FeedError
from contracts.tick import Tick
from streaming.feeds import open_feed
from streaming.feeds.binance_socket import SOCKET, Reader
from streaming.feeds.source import Head
from streaming.feeds.types import Names
from streaming.feeds.validator import Validator

AT_MS = 1_723_161_255_342
NOW_US = 4_000_000_000_000_000
TRADE = {"e": "trade", "s": "BTCUSDT", "t": 7, "p": "100.5", "q": "0.25", "T": AT_MS, "m": True}
QUOTE = {"e": "bookTicker", "s": "BTCUSDT", "b": "100.4", "B": "1", "a": "100.6", "A": "2"}
SPOT = TRADE | {"M": True}


def line(data: object, stream: str = "x") -> bytes:
    return b"%d %s" % (AT_MS * 1_000_000, json.dumps({"stream": stream, "data": data}).encode())


def read(*lines: bytes, venue: str | None = None, market: str | None = None):
    chunk = Reader(Names(venue, None), market).chunk(b"\n".join(lines), lines, 0)
    batch = Validator("socket", NOW_US).batch(chunk)
    return [Tick(*row) for row in batch.ticks.rows()], batch


def test_a_trade_has_the_newest_quote_of_its_symbol():
    newer = QUOTE | {"b": "100.5"}
    other = QUOTE | {"s": "ETHUSDT", "b": "1", "a": "2"}
    (tick,), batch = read(line(QUOTE), line(newer), line(other), line(SPOT))
    assert (tick.bid, tick.ask, tick.bid_size, tick.ask_size) == (100.5, 100.6, 1.0, 2.0)
    assert batch.skipped == {"quote": 3}


def test_a_quote_without_an_event_name_is_recognised_by_its_fields():
    unnamed = {name: value for name, value in QUOTE.items() if name != "e"}
    (tick,), _ = read(line(unnamed), line(SPOT))
    assert tick.bid == 100.4


@pytest.mark.parametrize("bid", ["100.7", "x", "1e999"])
def test_a_crossed_or_unreadable_quote_leaves_the_last_one(bid):
    (tick,), batch = read(line(QUOTE), line(QUOTE | {"b": bid}), line(SPOT))
    assert tick.bid == 100.4 and batch.skipped == {"quote": 2}


@pytest.mark.parametrize(
    ("data", "venue"),
    [
        (SPOT, "BINANCE"),
        (TRADE, "BINANCE_USDM"),
        (TRADE | {"X": "MARKET"}, "BINANCE_USDM"),
        (SPOT | {"X": "MARKET"}, "BINANCE_USDM"),
        (TRADE | {"s": "BTCUSD_PERP", "X": "MARKET"}, "BINANCE_COINM"),
    ],
)
def test_the_market_follows_from_the_fields(data, venue):
    assert read(line(data))[0][0].venue == venue


def test_a_named_venue_or_market_wins():
    assert read(line(TRADE), market="M")[0][0].venue == "M"
    assert read(line(TRADE), market="M", venue="V")[0][0].venue == "V"


def test_contracts_become_base_units():
    coin = TRADE | {"s": "BTCUSD_PERP", "p": "50000", "q": "10", "X": "MARKET"}
    assert read(line(coin))[0][0].size == 0.02  # 10 contracts of 100 USD
    assert read(line(coin | {"s": "ETHUSD_PERP", "p": "2500"}))[0][0].size == 0.04  # of 10 USD


def test_aggregated_trades_have_their_own_ids():
    (tick,), _ = read(line(SPOT | {"e": "aggTrade", "a": 9}))
    assert tick.trade_id == "a9"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (TRADE | {"X": "INSURANCE_FUND"}, "not_market"),
        (TRADE | {"X": ["MARKET"]}, "not_market"),
        ({"e": "kline"}, "kline"),
        ({"e": {"deep": 1}}, "{'deep': 1}"),
        ({}, "other"),
    ],
)
def test_what_is_not_a_trade_is_counted_by_its_kind(data, reason):
    ticks, batch = read(line(data))
    assert not ticks and not batch.rejected and batch.skipped == {reason: 1}


@pytest.mark.parametrize("stream", ["btcusdt@depth", "btcusdt@depth20@100ms"])
def test_order_books_are_skipped_without_parsing(stream):
    broken = line({}, stream)[:-5]
    assert read(broken)[1].skipped == {"depth": 1}


@pytest.mark.parametrize("text", [b"", b"1", b"1 {", b"1 []", b"1 7", b'1 {"data": 5}', b"1 null"])
def test_a_line_that_is_not_an_object_is_rejected_with_its_text(text):
    ticks, batch = read(line(SPOT), text)
    assert len(ticks) == 1
    (reject,) = batch.rejected
    assert (reject.row, reject.rejected.raw) == (1, text)


@pytest.mark.parametrize(
    "change",
    [
        {"m": 1},
        {"m": None},
        {"p": [1]},
        {"p": True},
        {"q": "x"},
        {"t": {}},
        {"T": "soon"},
        {"s": None},
    ],
)
def test_a_broken_field_rejects_the_trade(change):
    ticks, batch = read(line(SPOT | change))
    assert not ticks and [reject.row for reject in batch.rejected] == [0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from([*TRADE, *QUOTE, "X", "M", "data"]), json_values))
def test_any_object_is_a_tick_a_reject_or_counted(data):
    ticks, batch = read(line(TRADE | data), line(data))
    assert len(ticks) + len(batch.rejected) + sum(batch.skipped.values()) == 2


@pytest.mark.parametrize(
    ("lines", "is_socket"),
    [
        (("1 {", "2 {", ""), True),
        (("1 {", "", "x", "cut"), False),
        (("x {", "1 {", "2 {", "cut"), True),
        (("1{", ""), False),
        (("1,2 {", ""), False),
        ((), False),
    ],
)
def test_most_of_the_first_lines_decide(lines, is_socket):
    assert SOCKET.recognises(Head(lines=lines)) is is_socket


def test_a_recording_that_ends_early_says_so(tmp_path):
    file = tmp_path / "spot_a.gz"
    content = gzip.compress(b"\n".join(line(SPOT | {"t": t}) for t in range(20_000)) + b"\n")
    file.write_bytes(content[:-100])
    batches = list(open_feed([file]).batches(NOW_US))
    assert sum(batch.ticks.height for batch in batches) > 1_000
    assert "the file ends early" in batches[-1].rejected[0].rejected.detail


def test_a_recording_without_trades_has_no_span(tmp_path):
    file = tmp_path / "quotes.txt"
    file.write_bytes(b"\n".join([line(QUOTE)] * 3) + b"\n")
    with pytest.raises(FeedError, match=r"no tick in quotes\.txt") as caught:
        open_feed([file]).span(NOW_US)
    assert "--format" in caught.value.hint
