"""Joins never see the future: whatever happens to ticks and feature rows after t, nothing decided
by t changes.
"""

import math

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from contracts.config.settings import Settings
from contracts.features import CORE
from contracts.windows import LEVELS
from tests.support.market import DAY, T0, S, feature_rows, ticks
from training.tick.data import dataset

SETTINGS = Settings()
MINUTES = 90
SYMBOL = "SYNTH:AAAUSD"
WILD = st.sampled_from([1e9, -1e9, 1e-12, float("nan"), float("inf")])


@st.composite
def markets(draw):
    """Ticks and feature rows of one symbol with gaps, ties and rows that became known late."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    times = np.sort(
        np.round(
            rng.uniform(0, MINUTES * 60, MINUTES * draw(st.integers(2, 12))),
            draw(st.integers(0, 3)),
        )
    )
    if draw(st.booleans()):
        times = times[(times < 1500) | (times > 1500 + draw(st.integers(30, 900)))]
    market = ticks(times, 100 * np.exp(rng.standard_normal(len(times)).cumsum() * 1e-4), SYMBOL)
    views = feature_rows(np.arange(1, MINUTES * 60, draw(st.integers(3, 50))), SYMBOL)
    late_us = pl.Series(
        (rng.exponential(draw(st.sampled_from([0.1, 4.0])), len(views["tick_1s"])) * S).astype(
            np.int64
        )
    )
    return market, {
        view: frame.with_columns(pl.col("known_at_us") + late_us) for view, frame in views.items()
    }


@st.composite
def poisons(draw):
    """What happens after `cut`: values turn wild, rows vanish, and others appear that claim to have
    been known at once.
    """
    return (
        draw(st.integers(300, MINUTES * 60 - 300)) * S + T0,
        draw(WILD),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.booleans()),
    )


def poison(frame, time, columns, cut, wild, seed):
    """`frame` with every row after `cut` changed, half of them gone, and as many new ones."""
    after = frame.filter(pl.col(time) > cut)
    worse = [pl.lit(wild).alias(name) for name in columns]
    if "known_at_us" in frame.columns:
        worse.append(pl.lit(0, dtype=pl.Int64).alias("known_at_us"))
    left = after.sample(fraction=0.5, seed=seed).with_columns(worse)
    added = after.head(50).with_columns(*worse, pl.lit(cut + 1, dtype=pl.Int64).alias(time))
    return pl.concat([frame.filter(pl.col(time) <= cut), left, added])


def poisoned(market, views, cut, wild, seed):
    price = abs(wild) if math.isfinite(wild) else 1e7  # silver holds no other prices
    dirty = poison(market, "event_time_us", ["price"], cut, price, seed)
    return dirty, {
        view: poison(frame, "event_time_us", frame.columns[3:], cut, wild, seed)
        for view, frame in views.items()
    }


@examples(max_examples=40)
@given(markets(), poisons())
def test_no_row_that_was_complete_by_then_changes(market, poison_at):
    cut, wild, seed, empty = poison_at
    clean_ticks, clean_views = market
    dirty_ticks, dirty_views = poisoned(*market, cut, wild, seed)
    if empty:  # the feed is simply cut
        dirty_ticks = dirty_ticks.filter(pl.col("event_time_us") <= cut)
    clean, dirty = rows(clean_ticks, clean_views), rows(dirty_ticks, dirty_views)
    done = pl.col("exit_us") <= cut
    assert clean.filter(done).equals(dirty.filter(done))


@examples(max_examples=40)
@given(markets(), poisons())
def test_no_feature_and_no_refusal_of_a_decision_by_then_changes(market, poison_at):
    cut, wild, seed, _ = poison_at
    decisions = pl.DataFrame({"decision_us": dataset.decision_grid(T0, cut + 1, 60 * S)})
    _, dirty = poisoned(*market, cut, wild, seed)
    clean_rows, dirty_rows = (
        dataset.join_features(decisions, views, SETTINGS).select(*CORE, "row_reason")
        for views in (market[1], dirty)
    )
    assert clean_rows.equals(dirty_rows)


def rows(market, views):
    """All rows of the market's decisions, empty when there are none."""
    made = list(dataset._rows_by_symbol(market, views, T0, T0 + DAY, SETTINGS))
    frame = pl.concat(made).filter((pl.col("row_reason") == "") & (pl.col("label_reason") == ""))
    return frame.select(list(dataset.SCHEMA))


def test_the_property_can_fail():
    """A join that looks one row ahead is caught by the same comparison."""
    views = feature_rows(np.arange(1, 5400, 7), SYMBOL)
    cut = T0 + 3000 * S
    ahead = {
        view: frame.with_columns(pl.col("event_time_us") - 60 * S) for view, frame in views.items()
    }
    _, dirty = poisoned(ticks([0, 5000], [1, 1]), views, cut, 1e9, 1)
    dirty = {
        view: frame.with_columns(pl.col("event_time_us") - 60 * S) for view, frame in dirty.items()
    }
    decisions = pl.DataFrame({"decision_us": dataset.decision_grid(T0, cut + 1, 60 * S)})
    assert not dataset.join_features(decisions, ahead, SETTINGS).equals(
        dataset.join_features(decisions, dirty, SETTINGS)
    )
    assert len(LEVELS) == len(views)
