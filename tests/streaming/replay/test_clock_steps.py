"""A wall clock that is stepped by an hour while a sender runs changes nothing that it sends."""

from collections.abc import Iterator

import pytest

from streaming.feeds import Batch
from streaming.replay.replay import replay
from tests.streaming.replay.test_run import (
    FIRST_US,
    HOUR,
    LAST_US,
    NOTHING,
    SECOND,
    START_US,
    TICKS,
    Batches,
    batch,
    parts,
)
from tests.support import topic_reader

STEPS = [-HOUR, HOUR]


class SteppedClock:
    """A wall clock that is stepped once, and a steady one; sleeping advances both."""

    def __init__(self, step_us: int, after_us: int = 2 * SECOND) -> None:
        self.step_us, self.after_us = step_us, after_us
        self.elapsed_us = 0
        self.began_us = START_US + 86_400 * SECOND

    def wall(self) -> int:
        stepped_us = self.step_us if self.elapsed_us >= self.after_us else 0
        return self.began_us + self.elapsed_us + stepped_us

    def steady(self) -> int:
        return 7 * SECOND + self.elapsed_us

    def sleep(self, seconds: float) -> None:
        self.elapsed_us += round(seconds * 1e6)


def run(feed: Batches, settings, clock: SteppedClock, **options):
    return replay(
        feed, settings, clock=clock.wall, steady=clock.steady, sleep=clock.sleep, **options
    )


def sent(settings) -> list[tuple[object, ...]]:
    """What arrived in each partition, in order, without what names the run."""
    messages = topic_reader.since(settings, "ticks", NOTHING)
    return [
        (m.partition, m.key, m.fields["event_time_us"], m.fields.get("ingest_time_us"))
        for m in messages
    ]


def exchange(clock: SteppedClock, content: list[Batch]) -> Batches:
    """A live feed that yields a batch each half a second."""

    def arriving() -> Iterator[Batch]:
        for each in content:
            clock.sleep(0.5)
            yield each

    feed = Batches([], in_real_time=True, span_is_cheap=False, idle_lag_us=SECOND)
    feed.batches = lambda _received_us: arriving()
    return feed


@pytest.mark.parametrize("step_us", STEPS)
@pytest.mark.parametrize("as_live", [False, True])
def test_a_stepped_clock_changes_no_message_of_a_paced_replay(
    fresh_broker, broker, step_us, as_live
):
    expected, stepped = SteppedClock(0), SteppedClock(step_us)
    options = {"speed": 20.0, "as_live": as_live}
    undisturbed = run(Batches(parts()), broker, expected, **options)
    done = run(Batches(parts()), fresh_broker, stepped, **options)
    assert sent(fresh_broker) == sent(broker)
    assert (done.sent, done.rate) == (undisturbed.sent, undisturbed.rate)
    assert stepped.elapsed_us == expected.elapsed_us >= (LAST_US - FIRST_US) // 20


@pytest.mark.parametrize("step_us", STEPS)
def test_a_stepped_clock_neither_stops_nor_advances_the_heartbeats_of_a_silent_exchange(
    fresh_broker, broker, step_us
):
    silent = [batch(TICKS.clear())] * 12
    for settings, step in ((broker, 0), (fresh_broker, step_us)):
        clock = SteppedClock(step)
        run(exchange(clock, silent), settings, clock)
    assert sent(fresh_broker) == sent(broker)


@pytest.mark.parametrize("ahead_us", [-HOUR, HOUR])
def test_heartbeats_between_the_trades_of_an_exchange_follow_its_clock_not_ours(broker, ahead_us):
    clock = SteppedClock(0)
    clock.began_us = LAST_US + ahead_us
    run(exchange(clock, [batch(TICKS.tail(1)), *[batch(TICKS.clear())] * 6]), broker, clock)
    beats = [m for m in topic_reader.since(broker, "ticks", NOTHING) if m.is_beat and m.offset > 1]
    times = {m.fields["event_time_us"] for m in beats}
    assert max(times) == LAST_US + 2 * SECOND  # three seconds of silence, and the lag
    assert {LAST_US + n * SECOND // 2 for n in range(5)} <= times


@pytest.mark.parametrize("ahead_us", [-HOUR, HOUR])
def test_a_trade_of_an_exchange_is_sent_at_once_whatever_the_clock_says(broker, ahead_us):
    clock = SteppedClock(0)
    clock.began_us = LAST_US + ahead_us
    began = clock.elapsed_us
    done = run(exchange(clock, [batch(TICKS)]), broker, clock)
    assert done.sent == TICKS.height
    assert clock.elapsed_us - began < 5 * SECOND
