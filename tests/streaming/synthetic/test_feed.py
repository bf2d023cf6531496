"""The synthetic feed and history: the seed decides everything, and both continue each other."""

import json
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import FeedError
from lakehouse.tables import Lakehouse
from streaming.feeds.types import Span
from streaming.synthetic.feed import SyntheticFeed
from streaming.synthetic.history import load_synthetic
from streaming.synthetic.market import DEMO, FIXTURE, Market, generate, preset_with

START_US = 1_699_920_000_000_000
QUIET = replace(FIXTURE, rate=0.01)


def ticks(feed: SyntheticFeed) -> pl.DataFrame:
    return pl.concat(batch.ticks for batch in feed.batches(0))


def test_every_read_gives_the_same_ticks():
    feed = SyntheticFeed(FIXTURE, START_US, 300)
    assert_frame_equal(ticks(feed), ticks(feed))
    assert [len(batch.rows) for batch in feed.batches(0)] == [
        batch.ticks.height for batch in feed.batches(0)
    ]


def test_another_seed_is_another_market():
    other = SyntheticFeed(replace(FIXTURE, seed=8), START_US, 300)
    assert not ticks(SyntheticFeed(FIXTURE, START_US, 300)).equals(ticks(other))


@pytest.mark.parametrize(
    "change",
    [
        {"exchange": replace(FIXTURE, seed=8)},
        {"start_us": START_US + 1},
        {"duration_s": 301.0},
        {"state": Market(FIXTURE, START_US).state()},
    ],
    ids=["exchange", "start", "duration", "state"],
)
def test_the_fingerprint_changes_with_everything_that_changes_the_ticks(change):
    feed = SyntheticFeed(FIXTURE, START_US, 300.0)
    assert feed.fingerprint == SyntheticFeed(FIXTURE, START_US, 300.0).fingerprint
    assert replace(feed, **change).fingerprint != feed.fingerprint


def test_its_span_is_the_time_that_the_market_is_open():
    feed = SyntheticFeed(FIXTURE, START_US, 1.5)
    assert feed.span(0) == Span(START_US, START_US + 1_500_000)
    assert feed.in_real_time and feed.span_is_cheap and feed.idle_lag_us is None


def test_a_feed_continues_a_market_from_its_state_as_json():
    market = Market(FIXTURE, START_US)
    market.advance(120)
    state = json.loads(json.dumps(market.state()))
    feed = SyntheticFeed(FIXTURE, market.now_us, 60, state)
    assert_frame_equal(ticks(feed), pl.concat(generate(FIXTURE, market.now_us, 60, market)))


def test_a_feed_can_be_read_again_after_it_continued_a_market():
    market = Market(FIXTURE, START_US)
    market.advance(60)
    feed = SyntheticFeed(FIXTURE, market.now_us, 60, market.state())
    assert_frame_equal(ticks(feed), ticks(feed))


def test_a_market_before_the_first_valid_time_is_refused():
    with pytest.raises(ValueError, match="before 1990"):
        Market(FIXTURE, 0)


def test_presets_are_changed_by_name_and_none_leaves_them():
    assert preset_with("demo", rate=None, seed=None) == DEMO
    assert preset_with("demo", rate=2.0, seed=None) == replace(DEMO, rate=2.0)
    with pytest.raises(FeedError, match="unknown preset 'x'") as caught:
        preset_with("x")
    assert "demo" in caught.value.hint


def test_history_is_a_commit_a_day_and_the_market_continues_after_it(tmp_path):
    settings, shown = Settings(home=tmp_path), []
    market = load_synthetic(settings, QUIET, START_US, 2, lambda *step: shown.append(step))
    stored = Lakehouse(settings).read_ticks(START_US, START_US + 2 * DAY_US)
    expected = pl.concat(generate(QUIET, START_US, 2 * 86_400))
    assert market.now_us == START_US + 2 * DAY_US
    assert stored.height == expected.height
    assert set(stored["trade_id"]) == set(expected["trade_id"])
    assert [done for _, done, _ in shown] == [0, 1, 2] and {total for *_, total in shown} == {2}


def test_no_days_of_history_are_an_empty_lakehouse(tmp_path):
    settings = Settings(home=tmp_path)
    assert load_synthetic(settings, QUIET, START_US, 0).now_us == START_US
    assert Lakehouse(settings).read_ticks(START_US, START_US + DAY_US).is_empty()
