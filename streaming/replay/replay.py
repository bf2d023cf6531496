"""`tick replay`: a feed into Kafka, paced by event time, resumable after a kill without a gap.

1. position and timing are fixed (new, or those of the interrupted run) and saved before the first
   message
2. what the position counts is skipped   3. due ticks are sent, rejects go to the dead-letter topic
4. heartbeats follow; what they prove to have arrived becomes the new position   5. closing
   heartbeats end the last bar
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import polars as pl

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import FeedError
from streaming.feeds.types import Batch, Span
from streaming.replay import pacing as timings
from streaming.replay import position as positions
from streaming.replay.pacing import Timing
from streaming.replay.position import Position
from streaming.replay.sender import Sender
from streaming.replay.written import Written

SLICE_ROWS = 5_000
SLEEP_S_MIN, SLEEP_S_MAX = 0.002, 0.05
REPORT_S = 0.2
CLOSE_BAR_US = (
    61_000_000  # one bar of the coarsest level and a second: history's last bar is complete
)


class Replayable(Protocol):
    """What can be replayed: files (`streaming.feeds.Feed`) or a synthetic market
    (`streaming.synthetic.feed.SyntheticFeed`).
    """

    @property
    def fingerprint(self) -> str:
        """Changes when the content would."""

    @property
    def in_real_time(self) -> bool:
        """Whether its event times are meant as they are and end in the present or later."""

    @property
    def span_is_cheap(self) -> bool:
        """Whether `span` may be asked only to show how long it takes."""

    @property
    def quiet_lag_us(self) -> int | None:
        """Of a feed that is heard as it happens: how far behind now time is when nothing comes.
        None: time goes with the ticks.
        """

    def span(self, received_us: int) -> Span:
        """First and last event time."""

    def batches(self, received_us: int) -> Iterator[Batch]:
        """All of it, the same every time."""


@dataclass
class Progress:
    """How far a replay is.

    `rate`: ticks per second since it started. `eta_s`: None where the end is unknown. `first_us`:
    as sent. `stretch`: the time between events as sent, over that of the feed. `written`: its
    messages in `ticks`.
    """

    sent: int = 0
    rejected: int = 0
    resent_from: int = 0
    acknowledged: int = 0
    failed: int = 0
    event_time_us: int = 0
    elapsed_s: float = 0.0
    rate: float = 0.0
    eta_s: float | None = None
    sides_inferred: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    offset_us: int = 0
    stretch: float = 1.0
    first_us: int = 0
    written: Written = field(default_factory=Written)


def silent(_progress: Progress) -> None:
    """No display."""


def replay(
    feed: Replayable,
    settings: Settings,
    speed: float = 1.0,
    as_live: bool = False,
    position_file: Path | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] = silent,
    clock: Callable[[], int] = now_us,
    sleep: Callable[[float], None] = time.sleep,
) -> Progress:
    """Send a whole feed; returns the final counts. `speed` 0 = as fast as possible.

    `as_live` restamps it to end now; below speed 1 that stretches the time between events, too.

    Raises FeedError (empty feed, foreign position file) and ServiceError (Kafka away, messages not
    delivered): the position file then holds what arrived, and `resume` goes on from there.
    """
    if not 0 <= speed < math.inf:
        raise FeedError(
            f"speed {speed:g} is not a finite number of at least 0",
            "0 = as fast as possible, 1 = as it happened, 60 = a minute per second",
        )
    saved = _saved(feed, position_file) if resume else None
    sender = Sender(settings)
    run = _Run(sender, settings, position_file, progress, clock, sleep)
    run.start(feed, speed, as_live, saved)
    try:
        run.send(feed)
        run.close()
    except KeyboardInterrupt:
        run.settle(finished=False)
        raise
    return run.done


def _saved(feed: Replayable, file: Path | None) -> Position | None:
    saved = positions.load(file) if file else None
    if saved is not None and saved.fingerprint != feed.fingerprint:
        raise FeedError(
            f"{file} belongs to other files or to an older state of them",
            "start over with --restart",
        )
    return saved


class _Run:
    """One replay under way."""

    def __init__(
        self,
        sender: Sender,
        settings: Settings,
        file: Path | None,
        progress: Callable[[Progress], None],
        clock: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:
        self.sender, self.settings, self.file = sender, settings, file
        self.progress, self.clock, self.sleep = progress, clock, sleep
        self.done = Progress(written=sender.written)
        self.items, self.reached_us, self.beaten_us = 0, 0, 0
        self.timing, self.position = Timing(0.0), Position("")
        self.span: Span | None = None
        self.quiet_lag_us: int | None = None
        self.began_us, self.ended_us = clock(), 0
        self.next_beat_us = self.next_save_us = self.next_report_us = 0

    def start(self, feed: Replayable, speed: float, as_live: bool, saved: Position | None) -> None:
        """Fix the timing and save it: a kill right after the first message already finds the same
        offset and run.
        """
        now, self.quiet_lag_us = self.began_us, feed.quiet_lag_us
        restamp = as_live and not feed.in_real_time
        if saved is None and (restamp or feed.span_is_cheap):
            self.span = feed.span(now)
        if saved is not None:
            self.timing = timings.resumed(saved, 0, now)
        elif feed.in_real_time:
            self.timing = timings.real_time(now)
        else:
            self.timing = (
                timings.as_live(self._known_span(), speed, now)
                if restamp
                else timings.history(0, speed, now)
            )
        self.items = self.done.resent_from = saved.items if saved else 0
        self.sender.acknowledged = self.items
        t = self.timing
        self.done.offset_us, self.done.stretch = t.offset_us, t.stretch
        self.position = Position(
            feed.fingerprint,
            self.items,
            t.offset_us,
            t.anchor_event_us,
            t.anchor_wall_us,
            t.speed,
            t.live,
            t.run,
            stretch=t.stretch,
        )
        self._save()

    def send(self, feed: Replayable) -> None:
        """Everything not yet acknowledged by an earlier run, each tick when it is due."""
        for batch in _rest(feed.batches(self.began_us), self.items):
            self.done.skipped += batch.skipped
            self.done.sides_inferred += batch.sides_inferred
            if batch.ticks.height:
                ticks = self._restamped(batch.ticks)
                if not self.beaten_us:
                    self._begin(int(ticks["event_time_us"][0]))
                self._ticks(ticks)
            self.sender.dead_letters(batch.rejected)
            self.items += len(batch.rejected)
            self.done.rejected += len(batch.rejected)
            self._tend(None)

    def close(self) -> None:
        """Heartbeats that let the last tile and bars close: in real time for a live feed, once for
        history. Then settle.
        """
        self.sender.flush(self.items)
        self.ended_us = self.clock()  # closing beats are no part of the rate
        if self.timing.live:
            until = self.clock() + int(self.settings.final_heartbeat_s * 1e6)
            while (now := self.clock()) < until:
                self._beat(now)
                self.sleep(self.settings.heartbeat_interval_s)
        elif self.reached_us:
            self._beat(min(self.reached_us + CLOSE_BAR_US, self.clock()))
        self.settle(finished=True)

    def settle(self, finished: bool) -> None:
        """Wait for the last acknowledgements and keep the position."""
        self._beat(min(self.reached_us, self.clock()))
        self.sender.flush(self.items)
        self.position = replace(self.position, finished=finished)
        self._save()
        self._report(self.clock())

    def _beat(self, event_time_us: int) -> None:
        """A heartbeat that never goes back behind an earlier one or what was sent."""
        self.beaten_us = max(event_time_us, self.beaten_us, self.reached_us)
        self.sender.beat(self.beaten_us, self.items)

    def _known_span(self) -> Span:
        if self.span is None:
            raise FeedError("the feed has no span to restamp", "replay it without --as-live")
        return self.span

    def _restamped(self, ticks: pl.DataFrame) -> pl.DataFrame:
        if self.timing.anchor_event_us == 0 and self.timing.speed > 0:
            first = int(ticks["event_time_us"][0])
            self.timing = replace(self.timing, anchor_event_us=first, anchor_wall_us=self.clock())
        if not self.timing.run:
            return ticks
        own_id = pl.concat_str("trade_id", pl.lit(f"~{self.timing.run}"))
        return ticks.with_columns(self.timing.moved("event_time_us"), trade_id=own_id)

    def _begin(self, first_us: int) -> None:
        """Heartbeats just before the first tick: a partition that never had a message holds time
        for all others.
        """
        self.done.first_us = first_us
        self._beat(min(first_us - 1, self.clock()))

    def _ticks(self, ticks: pl.DataFrame) -> None:
        reached = ticks.select(
            pl.max_horizontal(pl.col("event_time_us").cum_max(), self.reached_us)
        ).to_series()
        start = 0
        while start < ticks.height:
            now = self.clock()
            due = int(reached.search_sorted(self.timing.reached_us(now), side="right"))
            stop = min(due, start + SLICE_ROWS)
            if stop > start:
                part = ticks.slice(start, stop - start)
                self.sender.ticks(
                    part.with_columns(ingest_time_us=pl.lit(now)) if self.timing.live else part
                )
                self.reached_us = int(reached[stop - 1])
                self.items += stop - start
                self.done.sent += stop - start
                start = stop
            self._tend(int(reached[start]) if start < ticks.height else None)
            if start < ticks.height and start == due:
                self._wait(self.timing.due_us(int(reached[start])))

    def _wait(self, due_us: int) -> None:
        wait_s = (min(due_us, self.next_beat_us) - self.clock()) / 1e6
        self.sleep(min(max(wait_s, SLEEP_S_MIN), SLEEP_S_MAX))

    def _tend(self, next_us: int | None) -> None:
        """Heartbeat, position and display, each when its time has come; `next_us` is the next
        tick's event time, if known.
        """
        now = self.clock()
        if now >= self.next_beat_us:
            paced = (
                self.timing.reached_us(now)
                if next_us is not None and self.timing.speed > 0
                else self.reached_us
            )
            if self.quiet_lag_us is not None:
                paced = max(paced, now - self.quiet_lag_us)
            safe = paced if next_us is None else min(paced, next_us - 1)
            self._beat(min(safe, now))
            self.next_beat_us = now + int(self.settings.heartbeat_interval_s * 1e6)
        self.sender.poll()
        if now >= self.next_save_us:
            self._save()
            self.next_save_us = now + int(self.settings.position_interval_s * 1e6)
        if now >= self.next_report_us:
            self._report(now)
            self.next_report_us = now + int(REPORT_S * 1e6)

    def _save(self) -> None:
        self.position = replace(self.position, items=self.sender.acknowledged)
        if self.file is not None:
            positions.save(self.file, self.position)

    def _report(self, now: int) -> None:
        done = self.done
        done.acknowledged, done.failed, done.event_time_us = (
            self.sender.acknowledged,
            self.sender.failed,
            self.reached_us,
        )
        done.elapsed_s = ((self.ended_us or now) - self.began_us) / 1e6
        done.rate = done.sent / done.elapsed_s if done.elapsed_s > 0 else 0.0
        done.eta_s = self._eta_s(done.elapsed_s)
        self.progress(done)

    def _eta_s(self, elapsed_s: float) -> float | None:
        if self.span is None or not self.done.sent:
            return None
        left_us = max(self.timing.moved_us(self.span.last_us) - self.reached_us, 0)
        if self.timing.speed > 0:
            return left_us / 1e6 / self.timing.speed
        through_us = self.reached_us - self.timing.moved_us(self.span.first_us)
        return elapsed_s * left_us / through_us if through_us > 0 else None


def _rest(batches: Iterator[Batch], items: int) -> Iterator[Batch]:
    """Batches without their first `items` ticks and rejects (a batch counts its ticks first)."""
    for batch in batches:
        if items >= batch.items:
            items -= batch.items
            continue
        if items:
            ticks, letters = min(items, batch.ticks.height), max(items - batch.ticks.height, 0)
            batch = Batch(
                batch.ticks.slice(ticks),
                batch.rows.slice(ticks),
                batch.rejected[letters:],
                batch.skipped,
                batch.sides_inferred,
            )
            items = 0
        yield batch
