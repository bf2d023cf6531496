"""What the load sends: every tick of its market once, in order, with the faults that are asked."""

from collections import Counter

import orjson
import polars as pl
import pytest

from contracts.messages.parsing import parse
from contracts.tick import Rejected
from streaming.feeds.tick_frame import encode
from streaming.synthetic.market import Market
from tests.chaos import load as module
from tests.chaos.load import Load, exchange

START_US = 1_700_000_040_000_000  # a whole minute
STEP_US = 250_000


class FakeSender:
    """Keeps what it is given."""

    def __init__(self, _settings):
        self.messages, self.beats = [], []

    def send_ticks(self, frame):
        self.messages += encode(frame)

    def send_message(self, _key, value):
        self.messages.append(value)

    def send_heartbeat(self, time_us, _items):
        self.beats.append((time_us, len(self.messages)))

    def flush(self):
        pass


@pytest.fixture
def load(monkeypatch, free_settings):
    monkeypatch.setattr(module, "Sender", FakeSender)
    made = Load(free_settings, Market(exchange(400, 4, 1), START_US))
    made.clock_us = START_US
    monkeypatch.setattr(module, "now_us", lambda: made.clock_us)
    made.resume()
    return made


def steps(load, count):
    for _ in range(count):
        load.clock_us += STEP_US
        load._step(load.clock_us)
    return load._sender.messages


def parsed(messages):
    return [parse(message, START_US + 3_600_000_000) for message in messages]


def test_every_tick_is_sent_once_in_order_and_counted(load):
    ticks = parsed(steps(load, 20))
    assert len(ticks) == load.produced and 1500 < len(ticks) < 2500
    assert len({(tick.key, tick.trade_id) for tick in ticks}) == len(ticks)
    times = [tick.event_time_us for tick in ticks]
    assert times == sorted(times) and times[-1] < load.clock_us


def test_a_heartbeat_is_never_later_than_a_tick_after_it(load):
    ticks = parsed(steps(load, 20))
    for time_us, sent in load._sender.beats:
        assert all(tick.event_time_us >= time_us for tick in ticks[sent:])


def test_the_trades_have_other_ids_than_the_history_of_the_market(load):
    assert all(tick.trade_id.startswith("c") for tick in parsed(steps(load, 2)))


@pytest.mark.parametrize("kind", ["malformed", "odd_times"])
def test_bad_messages_are_added_to_the_good_ones(load, kind):
    load.begin(kind, 5)
    verdicts = parsed(steps(load, 40))
    reasons = {one.reason for one in verdicts if isinstance(one, Rejected)}
    assert load.produced == len(verdicts)
    assert len(reasons) == (5 if kind == "malformed" else 1)
    load.end()
    assert not any(isinstance(one, Rejected) for one in parsed(steps(load, 1)[len(verdicts) :]))


def test_duplicates_are_sent_again(load):
    load.begin("duplicate", 5)
    copies = Counter(steps(load, 20))
    assert set(copies.values()) == {1, 2}


def test_the_last_half_minute_is_sent_again_message_for_message(load):
    before = list(steps(load, 20))
    load.resend()
    assert load._sender.messages == before * 2 and load.produced == 2 * len(before)


def test_late_ticks_come_three_seconds_later(load):
    load.begin("late", 5)
    steps(load, 20)
    load.end()
    newest, late = 0, []
    for tick in parsed(steps(load, 20)):
        newest = max(newest, tick.event_time_us)
        late += [newest - tick.event_time_us] if newest - tick.event_time_us > STEP_US else []
    assert len(late) > 20 and min(late) > 2_500_000
    assert not load._held


def test_an_idle_stream_has_only_heartbeats(load):
    load.begin("idle", 5)
    assert steps(load, 4) == [] and len(load._sender.beats) == 4


def test_a_pause_ends_with_its_minute(load):
    load._end_us = START_US + 4 * STEP_US
    ticks = parsed(steps(load, 8))
    assert max(tick.event_time_us for tick in ticks) < START_US + 4 * STEP_US
    assert load._paused and load._sender.beats[-1][0] == load.clock_us


def test_the_load_depends_on_the_seed_alone():
    first, again, other = (
        Market(exchange(400, 4, seed), START_US).advance(1.0) for seed in (1, 1, 2)
    )
    assert first.equals(again) and not first.equals(other)


def test_the_market_has_the_rate_of_all_symbols_together():
    ticks = pl.concat([Market(exchange(1000, 10, 1), START_US).advance(20.0)])
    assert 18_000 < len(ticks) < 22_000 and ticks["symbol"].n_unique() == 10


def test_damaged_messages_are_valid_json_where_only_a_value_is_wrong(load):
    load.begin("odd_times", 5)
    assert all(orjson.loads(message) for message in steps(load, 8))
