"""Our producer's messages match the fast path, and whatever matches is a tick to `parse()`."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import encoding
from contracts.messages.parsing import parse
from contracts.tick import Tick
from streaming.feeds import open_feed, tick_frame
from streaming.job.fast_path import WITH_QUOTES, WITHOUT_QUOTES
from tests.support.trade_files import real

NOW_US = 1_760_000_000_000_000
FILES = [
    # Every fifth trade is smaller than 0.0001 BTC.
    "binance_dump/spot_BTCUSDT-trades-2024-08-08.csv",
    "binance_dump/cm_BTCUSD_PERP-trades-2024-08-08.csv",
    "raw/spot_btcusdt_20240808.gz",  # ticks with quotes
    "raw/usdm_ethusdt_20240808.gz",
    "raw/xauusd_28june_trades_0501.parquet",  # ids made of file and row
]
FAST_PATH = tuple(re.compile(pattern, re.ASCII) for pattern in (WITHOUT_QUOTES, WITH_QUOTES))
POWERS = st.builds(
    lambda digits, power: digits * 10.0**power, st.integers(1, 10**6), st.integers(-16, 12)
)
AMOUNTS = st.one_of(POWERS, st.floats(1e-10, 1e13), st.just(0.0))


def spared(message: bytes) -> bool:
    """Whether the message matches the fast path, apart from time and crossed quotes."""
    return any(pattern.search(message.decode()) for pattern in FAST_PATH)


@pytest.mark.parametrize("name", FILES)
def test_real_ticks_take_the_fast_path(name):
    ticks = pl.concat([found.ticks for found in open_feed([real(name)]).batches(NOW_US)])
    missed = [message for message in tick_frame.encode(ticks) if not spared(message)]
    assert len(missed) <= ticks.height // 1000, missed[:3]


@given(
    price=AMOUNTS,
    size=AMOUNTS,
    side=st.integers(-2, 2),
    seq=st.integers(-1, 2**63 - 1),
    name=st.text(max_size=40),
    bid=AMOUNTS,
)
def test_what_is_spared_is_a_tick(price, size, side, seq, name, bid):
    tick = Tick("V", "S", NOW_US, NOW_US, price, size, side, "1", seq)
    for made in (
        tick,
        tick._replace(venue=name),
        tick._replace(trade_id=name * 2),
        tick._replace(bid=bid, ask=bid + 1),
    ):
        message = encoding.encode(made)
        assert not spared(message) or isinstance(parse(message, NOW_US), Tick), message


@pytest.mark.parametrize("text", ["01.5", "-1.5", "1.5e5", "1.", ".5", "0.0", "NaN", '"1"', "null"])
def test_odd_numbers_are_looked_at(text):
    message = encoding.encode(Tick("V", "S", NOW_US, NOW_US, 7.25, 7.5, 1, "1", 1)).decode()
    assert spared(message.encode())
    assert not spared(message.replace("7.25", text).encode())
    assert not spared(message.replace("7.5", text).encode())
