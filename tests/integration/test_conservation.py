"""Nothing is lost or invented: every faulty tick is accepted, refused or a duplicate."""

from itertools import islice

import polars as pl
import pytest

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.durations import MINUTE_US
from contracts.messages.parsing import parse
from contracts.tick import Rejected
from lakehouse.tables import Lakehouse
from streaming.feeds import open_feed
from streaming.feeds.tick_frame import encode
from tests.integration.conftest import minutes_ago, send
from tests.support import outcomes
from tests.support.faults import KINDS, inject_faults
from tests.support.trade_files import real

pytestmark = pytest.mark.integration
SHARE = 0.03  # of every kind
TICKS = 10_000
MINUTES = 120  # ago
FILES = ("spot_BTCUSDT-trades-2024-08-08", "spot_ETHUSDT-trades-2024-08-08")


def market(start_us: int) -> pl.DataFrame:
    """The first trades of two real symbols, moved to begin at `start_us`."""
    feed = open_feed([real(f"binance_dump/{name}.csv") for name in FILES])
    ticks = pl.concat(batch.ticks for batch in islice(feed.batches(now_us()), 10)).head(TICKS)
    offset = start_us - int(ticks["event_time_us"].min())
    return ticks.with_columns(
        pl.col("event_time_us", "ingest_time_us") + offset,
        trade_id=pl.col("trade_id") + pl.lit(f"~{start_us}"),
    )


def key_of(message: bytes) -> str:
    """Send bad messages to the partitions of the good ones."""
    return "BINANCE:ETHUSDT" if b"ETHUSDT" in message else "BINANCE:BTCUSDT"


def test_produced_is_accepted_and_rejected_and_duplicate(live: Settings) -> None:
    start_us = minutes_ago(MINUTES)
    good = market(start_us)
    end_us = int(good["event_time_us"].max()) + 1
    mixed = inject_faults(encode(good), SHARE * len(KINDS), seed=11, now_us=now_us())
    assert set(mixed.counts) == set(KINDS) and min(mixed.counts.values()) > 0.02 * len(good)
    before = outcomes.marks(live)
    produced = send(
        live, ((key_of(m), m) for m in mixed.messages), start_us, end_us + 2 * MINUTE_US
    )
    outcomes.settle(live, end_us + outcomes.SECOND_US)
    in_silver, letters = (
        Lakehouse(live).count_ticks(start_us, end_us),
        outcomes.letters(live, before),
    )
    assert produced == in_silver.distinct + len(letters) + (in_silver.rows - in_silver.distinct)
    assert (in_silver.distinct, in_silver.rows - in_silver.distinct) == (
        len(good),
        mixed.counts["duplicate"],
    )
    assert outcomes.reasons(letters) == +mixed.rejected

    messages = outcomes.sent(live, before)
    assert len(messages) == produced
    parsed = {(m.partition, m.offset): parse(m.value, outcomes.received_us(m)) for m in messages}
    refused = {
        place: (one.reason.value, one.raw)
        for place, one in parsed.items()
        if isinstance(one, Rejected)
    }
    assert letters == refused

    # Messages of the year 9999 and of tomorrow were among them: had one moved the watermark, all
    # after it would be late.
    on_time = Lakehouse(live).read_ticks(start_us, end_us).filter(~pl.col("late"))
    assert on_time.select("key", "trade_id").n_unique() == len(good)
