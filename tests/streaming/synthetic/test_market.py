"""The synthetic exchange has its planted correlation, order, determinism and seamless chunks."""

import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from streaming.feeds.tick_frame import SCHEMA, encode, reject_reasons
from streaming.synthetic.market import FIXTURE, Exchange, Market, generate

START_US = 1_699_920_000_000_000  # midnight UTC
STEADY = replace(FIXTURE, half_spread_bp=0.0, rate=1.0, vol_of_vol=0.0, day_shape=0.0)


def measured_ic(exchange: Exchange, days: int) -> float:
    """Correlation of a minute's count imbalance with the next minute's return, by definition."""
    ticks = pl.concat(list(generate(exchange, START_US, days * 86_400)))
    minutes = (
        ticks.group_by("symbol", (pl.col("event_time_us") // 60_000_000).alias("minute"))
        .agg(imbalance=pl.col("side").mean(), close=pl.col("price").last().log())
        .sort("symbol", "minute")
        .with_columns(ahead=(pl.col("close").shift(-1) - pl.col("close")).over("symbol"))
        .drop_nulls()
    )
    return float(np.corrcoef(minutes["imbalance"], minutes["ahead"])[0, 1])


def imbalance_ic(exchange: Exchange) -> float:
    """Correlation of the last horizon's count imbalance with the next return (closed form)."""
    a, b = exchange.moments()
    horizon, trades = exchange.horizon_s, exchange.rate * exchange.horizon_s
    kappa = exchange.kappa
    noise = (1 - kappa**2) / trades
    return exchange.ic * kappa * (a / horizon) / math.sqrt(kappa**2 * b / horizon**2 + noise)


@pytest.mark.parametrize("ic", [0.0, 0.15, 0.3])
def test_count_imbalance_has_the_closed_form_correlation(ic):
    exchange = replace(STEADY, ic=ic, correlation=0.0)
    assert measured_ic(exchange, 6) == pytest.approx(
        imbalance_ic(exchange), abs=0.015
    )  # 3 standard errors of 26,000 minutes


def test_no_signal_stays_no_signal_with_every_realism_on():
    assert abs(measured_ic(replace(FIXTURE, ic=0.0, rate=1.0, half_spread_bp=0.0), 6)) < 0.02


def test_returns_of_two_symbols_have_the_stated_correlation():
    ticks = pl.concat(
        list(generate(replace(STEADY, correlation=0.5, ic=0.0), START_US, 2 * 86_400))
    )
    closes = (
        ticks.group_by("symbol", (pl.col("event_time_us") // 300_000_000).alias("bar"))
        .agg(c=pl.col("price").last().log())
        .sort("bar")
    )
    returns = (
        closes.pivot(on="symbol", index="bar", values="c")
        .drop("bar")
        .with_columns(pl.all().diff())
        .drop_nulls()
    )
    assert np.corrcoef(returns.to_numpy().T)[0, 1] == pytest.approx(0.5, abs=0.1)


def test_batches_are_valid_ordered_and_bounded():
    busy = replace(FIXTURE, rate=500.0)
    batches = list(generate(busy, START_US, 300))
    ticks = pl.concat(batches)
    assert dict(ticks.schema) == SCHEMA
    assert ticks["event_time_us"].is_sorted() and ticks["event_time_us"].min() >= START_US
    assert ticks["event_time_us"].max() < START_US + 300_000_000
    assert reject_reasons(ticks, START_US + 300_000_000).null_count() == ticks.height
    assert ticks.select("symbol", "trade_id").n_unique() == ticks.height
    assert max(batch.height for batch in batches) < 300_000
    assert ticks.height == pytest.approx(
        500 * 3 * 300 * 1.5, rel=0.1
    )  # midnight is the busiest time of its U-shaped day
    for _, own in ticks.group_by("symbol"):
        assert own["seq"].to_list() == list(range(1, own.height + 1))


def test_the_seed_is_the_market():
    first, again, other = (
        pl.concat(list(generate(replace(FIXTURE, seed=s), START_US, 7_200))) for s in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first.equals(other)


def test_live_goes_on_where_history_ended_even_in_another_process():
    history, whole = Market(FIXTURE, START_US), Market(FIXTURE, START_US)
    for market in (history, whole):
        list(generate(FIXTURE, START_US, 3_600, market))
    moved = Market.restore(json.loads(json.dumps(history.state())))
    live = pl.concat(list(generate(FIXTURE, START_US + 3_600_000_000, 60, moved)))
    assert live.equals(pl.concat(list(generate(FIXTURE, START_US + 3_600_000_000, 60, whole))))
    assert live["event_time_us"].min() >= START_US + 3_600_000_000
    assert live["seq"].min() > 100


def test_seconds_made_one_by_one_are_the_same_kind_of_market():
    market = Market(replace(STEADY, rate=5.0), START_US)
    ticks = pl.concat([market.advance(1.0) for _ in range(600)])
    assert ticks["event_time_us"].is_sorted()
    assert ticks.height == pytest.approx(9_000, rel=0.1)
    steps = ticks.filter(pl.col("symbol") == "AAAUSD")["price"].log().diff().drop_nulls()
    assert float(steps.std()) == pytest.approx((STEADY.variance_s / 5.0) ** 0.5, rel=0.2)


def test_a_market_cannot_be_continued_from_another_time():
    market = Market(FIXTURE, START_US)
    with pytest.raises(ValueError, match="has reached"):
        next(generate(FIXTURE, START_US + 1, 10, market))


def test_empty_minutes_are_empty_however_they_are_cut():
    quiet = replace(STEADY, empty_minutes=0.5)
    ticks = pl.concat(list(generate(quiet, START_US, 6_000)))
    minutes = ticks["event_time_us"].unique() // 60_000_000
    assert 30 <= minutes.n_unique() <= 70
    market = Market(quiet, START_US)
    by_seconds = pl.concat([market.advance(10.0) for _ in range(600)])
    assert set(by_seconds["event_time_us"] // 60_000_000) <= set(minutes)


def test_the_wire_form_is_the_one_of_the_contract():
    ticks = next(generate(FIXTURE, START_US, 600))
    quoted = ticks.with_columns(bid=pl.when(pl.col("seq") % 2 == 0).then(pl.col("price") * 0.999))
    for frame in (ticks, quoted):
        sent = [json.loads(line) for line in encode(frame)]
        kept = [
            {k: v for k, v in row.items() if v is not None} for row in frame.iter_rows(named=True)
        ]
        assert sent == [{"schema_version": 1, **row} for row in kept]
    assert encode(ticks.clear()) == []
