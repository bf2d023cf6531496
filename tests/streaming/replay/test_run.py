"""A replay through an in-process Kafka on a clock that only its own sleeping advances."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl
import pytest

from contracts.errors import FeedError
from contracts.tick import Reason, Rejected
from streaming.feeds import Batch, FeedReject, Span, open_feed
from streaming.replay import position
from streaming.replay.replay import CLOSE_BAR_US
from streaming.replay.replay import replay as send
from streaming.synthetic.market import FIXTURE, generate
from tests.support import topic_reader

START_US = 1_700_000_000_000_000
SECOND = 1_000_000
HOUR = 3_600 * SECOND
NOTHING = dict.fromkeys(range(4), 0)
TICKS = next(generate(FIXTURE, START_US, 120))
FIRST_US, LAST_US = TICKS["event_time_us"][0], TICKS["event_time_us"][-1]


class Clock:
    """Event time is long past; sleeping takes no time but advances the clock."""

    def __init__(self, now_us: int = START_US + 86_400 * SECOND) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def sleep(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)


@dataclass
class Batches:
    """A feed of given batches."""

    content: list[Batch]
    fingerprint: str = "f"
    in_real_time: bool = False
    span_is_cheap: bool = True
    idle_lag_us: int | None = None
    spans: list[int] = field(default_factory=list)

    def span(self, received_us: int) -> Span:
        self.spans.append(received_us)
        return Span(FIRST_US, LAST_US)

    def batches(self, received_us: int) -> Iterator[Batch]:
        return iter(self.content)


def batch(ticks: pl.DataFrame, *rejected: FeedReject, **fields) -> Batch:
    return Batch(ticks, pl.Series(range(ticks.height), dtype=pl.Int64), list(rejected), **fields)


def reject(row: int) -> FeedReject:
    return FeedReject("a.csv", row, Rejected(Reason.INVALID_FIELD, b"%d" % row))


def parts(rows: int = 7) -> list[Batch]:
    return [batch(part) for part in TICKS.iter_slices(rows)]


def run(feed: Batches, settings, clock: Clock | None = None, **options):
    clock = clock or Clock()
    return send(feed, settings, clock=clock, steady=clock, sleep=clock.sleep, **options)


def sent(settings):
    messages = topic_reader.since(settings, "ticks", NOTHING)
    return [m for m in messages if not m.is_beat], [m for m in messages if m.is_beat]


def ids(messages) -> list[str]:
    return sorted(f"{m.key}{m.fields['trade_id']}" for m in messages)


EVERY_ID = sorted(f"{v}:{s}{i}" for v, s, i in TICKS.select("venue", "symbol", "trade_id").rows())


def test_everything_is_sent_once_and_counted(broker):
    done = run(Batches([*parts(), batch(TICKS.clear(), reject(3))]), broker, speed=0)
    ticks, _ = sent(broker)
    assert ids(ticks) == EVERY_ID
    assert (done.sent, done.rejected, done.failed) == (TICKS.height, 1, 0)
    assert done.acknowledged == TICKS.height + 1


def test_each_tick_is_sent_when_it_is_due(broker):
    clock, due = Clock(), []
    began_us = clock.now_us
    run(
        Batches(parts()),
        broker,
        clock,
        speed=10.0,
        progress=lambda done: due.append((clock.now_us - began_us, done.event_time_us)),
    )
    for waited_us, reached_us in due[1:]:
        assert reached_us <= FIRST_US + 10 * waited_us
    assert clock.now_us - began_us >= (LAST_US - FIRST_US) // 10


def test_heartbeats_are_never_ahead_of_a_later_tick(broker):
    run(Batches(parts()), broker, speed=20.0)
    newest = dict.fromkeys(range(4), 0)
    for message in topic_reader.since(broker, "ticks", NOTHING):
        at = message.fields["event_time_us"]
        if message.is_beat:
            newest[message.partition] = max(newest[message.partition], at)
        assert at >= newest[message.partition]
    assert set(newest.values()) == {LAST_US + CLOSE_BAR_US}


def test_the_first_heartbeat_is_just_before_the_first_tick(broker):
    done = run(Batches(parts()), broker, speed=0)
    _, beats = sent(broker)
    firsts = {p: min(m.offset for m in beats if m.partition == p) for p in range(4)}
    assert set(firsts.values()) == {0}
    assert {m.fields["event_time_us"] for m in beats if m.offset == 0} == {FIRST_US - 1}
    assert done.first_us == FIRST_US


def test_as_live_the_last_tick_happens_when_the_replay_ends(broker):
    clock = Clock()
    done = run(Batches(parts()), broker, clock, speed=4.0, as_live=True)
    ticks, beats = sent(broker)
    newest_us = max(m.fields["event_time_us"] for m in ticks)
    assert newest_us == LAST_US + done.offset_us
    assert 0 <= clock.now_us - newest_us < 2 * SECOND
    assert all(m.fields["ingest_time_us"] >= m.fields["event_time_us"] for m in ticks)
    assert len({m.fields["trade_id"].partition("~")[2] for m in ticks}) == 1


def test_it_continues_after_an_interruption_without_a_gap(broker, tmp_path):
    file = tmp_path / "position.json"

    def interrupt(done) -> None:
        if done.sent > TICKS.height // 3:
            raise KeyboardInterrupt

    options = {"speed": 5.0, "position_file": file}
    with pytest.raises(KeyboardInterrupt):
        run(Batches(parts()), broker, progress=interrupt, **options)
    stopped = position.load(file)
    assert TICKS.height // 3 < stopped.items < TICKS.height and not stopped.finished

    done = run(Batches(parts()), broker, resume=True, **options)
    ticks, _ = sent(broker)
    assert ids(ticks) == EVERY_ID
    assert done.resumed_at == stopped.items and done.sent == TICKS.height - stopped.items
    assert position.load(file).finished and position.load(file).items == TICKS.height


@pytest.mark.parametrize("items", [0, 1, 6, 7, 9, 10, 11, 30])
def test_it_continues_within_a_batch_ticks_before_rejects(broker, tmp_path, items):
    content = [batch(TICKS.head(7), reject(1), reject(2), reject(3)), batch(TICKS[7:30])]
    file = tmp_path / "position.json"
    position.save(file, position.Position("f", items))
    done = run(Batches(content), broker, speed=0, position_file=file, resume=True)
    assert done.rejected == 3 - min(max(items - 7, 0), 3)
    assert done.sent + done.rejected == 33 - items


def test_a_resumed_live_replay_keeps_offset_and_trade_ids(broker, tmp_path):
    file = tmp_path / "position.json"
    first = run(Batches(parts()), broker, speed=0, as_live=True, position_file=file)
    saved = position.load(file)
    position.save(file, position.Position(**{**vars(saved), "items": 5, "finished": False}))
    again = run(
        Batches(parts()), broker, Clock(saved.anchor_wall_us), position_file=file, resume=True
    )
    ticks, _ = sent(broker)
    assert again.offset_us == first.offset_us
    assert len(set(ids(ticks))) == TICKS.height


def test_a_row_of_the_future_shifts_no_position_of_a_later_run(broker, tmp_path):
    """Run 1 rejects the third row as one of the future; in run 2 it would be a tick."""
    feed_file, file = tmp_path / "ticks.csv", tmp_path / "position.json"
    rows = TICKS.head(4).with_columns(event_time_us=pl.Series([0, 1, 9, 2]) * SECOND + START_US)
    rows.write_csv(feed_file)
    feed = open_feed([feed_file])
    clock = Clock(START_US + 3 * SECOND)
    run(feed, broker, clock, speed=0, position_file=file)
    saved = position.load(file)
    assert (saved.items, saved.received_us) == (4, START_US + 3 * SECOND)
    position.save(file, replace(saved, items=2, finished=False))

    done = run(feed, broker, Clock(START_US + HOUR), speed=0, position_file=file, resume=True)
    ticks, _ = sent(broker)
    assert (done.sent, done.rejected) == (1, 1)
    times = Counter((m.fields["event_time_us"] - START_US) // SECOND for m in ticks)
    assert times == {0: 1, 1: 1, 2: 2}
    assert position.load(file).received_us == saved.received_us


def test_a_position_without_a_time_of_validation_is_continued(broker, tmp_path):
    file = tmp_path / "position.json"
    position.save(file, position.Position("f", 5))
    done = run(Batches(parts()), broker, Clock(7 * HOUR), position_file=file, resume=True)
    assert done.sent == TICKS.height - 5
    assert position.load(file).received_us == 7 * HOUR


def test_a_position_of_other_files_is_refused(broker, tmp_path):
    file = tmp_path / "position.json"
    position.save(file, position.Position("other", 5))
    with pytest.raises(FeedError, match="belongs to other files") as caught:
        run(Batches(parts()), broker, position_file=file, resume=True)
    assert "--restart" in caught.value.hint


def test_an_empty_feed_sends_no_tick_and_ends(broker):
    done = run(Batches([]), broker, speed=0)
    assert (done.sent, done.first_us, sent(broker)[0]) == (0, 0, [])


def test_the_span_is_not_computed_for_the_display_of_an_expensive_feed(broker):
    feed = Batches(parts(), span_is_cheap=False)
    run(feed, broker, speed=0)
    assert feed.spans == []


def test_the_remaining_time_follows_from_the_speed(broker):
    shown = []
    run(Batches(parts()), broker, speed=2.0, progress=lambda done: shown.append(done.eta_s))
    known = [eta_s for eta_s in shown if eta_s is not None]
    assert known == sorted(known, reverse=True)
    assert known[-1] == 0 and known[0] <= (LAST_US - FIRST_US) / 2e6


def test_lines_that_are_not_trades_are_counted_even_without_a_trade(broker):
    quotes = batch(TICKS.clear(), skipped={"quote": 4})
    done = run(Batches([quotes, *parts(), quotes]), broker, speed=0)
    assert done.skipped == {"quote": 8}


def test_event_time_follows_the_clock_while_a_live_exchange_is_silent(broker):
    clock = Clock()
    silent = batch(TICKS.clear())

    def quiet() -> Iterator[Batch]:
        for _ in range(20):
            clock.sleep(0.5)
            yield silent

    feed = Batches([], in_real_time=True, span_is_cheap=False, idle_lag_us=SECOND)
    feed.batches = lambda _received_us: quiet()
    began_us = clock.now_us
    run(feed, broker, clock)
    times = {m.fields["event_time_us"] for m in sent(broker)[1]}
    assert {began_us + n * SECOND // 2 for n in range(-1, 19)} <= times
