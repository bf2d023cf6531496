"""`tick replay`: send a feed to Kafka, paced by event time, resumable after a kill without a gap.

1. position and pacing are set (new, or those of the interrupted run) and saved before the first
   message
2. items that the position counts are skipped
3. ticks are sent when they are due, rejects go to the dead-letter topic
4. heartbeats follow; once one is acknowledged on every partition, all items sent before it become
   the position
5. final heartbeats close the last bar
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import polars as pl

from contracts.clock import SteadyClock, now_us, steady_us
from contracts.config.settings import Settings
from contracts.errors import FeedError
from streaming.feeds.types import Batch, Span
from streaming.replay import pacing, position
from streaming.replay.interval import Interval
from streaming.replay.pacing import Pacing
from streaming.replay.position import Position
from streaming.replay.sender import Sender
from streaming.replay.sent_offsets import SentOffsets

SLICE_ROWS = 5_000
SLEEP_S_MIN, SLEEP_S_MAX = 0.002, 0.05
REPORT_S = 0.2
# One bar of the coarsest level and a second: closes the last bar of history.
CLOSE_BAR_US = 61_000_000


class TickSource(Protocol):
    """What `replay` can send. Files (`streaming.feeds.Feed`) and the synthetic market
    (`streaming.synthetic.feed.SyntheticFeed`) yield the same batches on every call and can be
    resumed; an exchange (`LiveFeed`) cannot.
    """

    @property
    def fingerprint(self) -> str:
        """A hash that changes with the content; a constant for an exchange."""

    @property
    def in_real_time(self) -> bool:
        """Whether event times are sent unchanged because they reach the present or later."""

    @property
    def span_is_cheap(self) -> bool:
        """Whether `span` is cheap enough to compute for the progress display alone."""

    @property
    def idle_lag_us(self) -> int | None:
        """How far event time follows behind the clock of an exchange while it is silent.

        None: not an exchange; event time advances only with ticks.
        """

    def span(self, received_us: int) -> Span:
        """First and last event time. Raises FeedError for an exchange."""

    def batches(self, received_us: int) -> Iterator[Batch]:
        """All batches, in the order of sending."""


@dataclass
class ReplayProgress:
    """Progress of a replay.

    `rate`: ticks per second since the start. `eta_s`: None if the end is unknown. `first_us`: the
    first event time as sent, `began_us` the time at which it was. `run_id`: the sender's.
    `stretch`: the factor by which the time between events was multiplied. `sent_offsets`: the
    offsets of acknowledged messages in `ticks`, heartbeats included.
    """

    sent: int = 0
    rejected: int = 0
    resumed_at: int = 0
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
    began_us: int = 0
    run_id: str = ""
    sent_offsets: SentOffsets = field(default_factory=SentOffsets)


def silent(_progress: ReplayProgress) -> None:
    """No display."""


def replay(
    feed: TickSource,
    settings: Settings,
    speed: float = 1.0,
    as_live: bool = False,
    position_file: Path | None = None,
    resume: bool = False,
    progress: Callable[[ReplayProgress], None] = silent,
    clock: Callable[[], int] = now_us,
    steady: Callable[[], int] = steady_us,
    sleep: Callable[[float], None] = time.sleep,
) -> ReplayProgress:
    """Send a whole feed; returns the final counts. `speed` 0 = as fast as possible.

    `as_live` moves event times so that the last event happens when the replay ends; below speed 1
    this also stretches the time between events.

    The wall clock `clock` is read once, at the start. From then on time is measured by `steady`, so
    that a stepped wall clock neither stops the replay nor sends anything early.

    Raises FeedError (empty feed, position file of another feed) and ServiceError (Kafka
    unavailable, messages not delivered). The position file then records what arrived, and `resume`
    continues from there.
    """
    if not 0 <= speed < math.inf:
        raise FeedError(
            f"speed {speed:g} is not a finite number of at least 0",
            "0 = as fast as possible, 1 = as it happened, 60 = a minute per second",
        )
    saved = _saved(feed, position_file) if resume else None
    sender = Sender(settings)
    run = _Replay(sender, settings, position_file, progress, SteadyClock(clock, steady), sleep)
    run.start(feed, speed, as_live, saved)
    try:
        run.send(feed)
        run.close()
    except KeyboardInterrupt:
        run.settle(finished=False)
        raise
    return run.done


def _saved(feed: TickSource, file: Path | None) -> Position | None:
    saved = position.load(file) if file else None
    if saved is not None and saved.fingerprint != feed.fingerprint:
        raise FeedError(
            f"{file} belongs to other files or to an older state of them",
            "start over with --restart",
        )
    return saved


class _Replay:
    """State of one running replay."""

    def __init__(
        self,
        sender: Sender,
        settings: Settings,
        file: Path | None,
        progress: Callable[[ReplayProgress], None],
        clock: SteadyClock,
        sleep: Callable[[float], None],
    ) -> None:
        self.sender = sender
        self.settings = settings
        self.file = file
        self.progress = progress
        self.clock = clock
        self.sleep = sleep
        self.done = ReplayProgress(run_id=sender.run_id, sent_offsets=sender.sent_offsets)
        self.items = 0
        self.sent_to_us = 0
        self.sent_at_us = 0
        self.heartbeat_us = 0
        self.pacing = Pacing(0.0)
        self.position = Position("")
        self.span: Span | None = None
        self.idle_lag_us: int | None = None
        self.began_us = self.received_us = clock()
        self.ended_us = 0
        self.heartbeats = Interval.of_seconds(settings.heartbeat_interval_s)
        self.saves = Interval.of_seconds(settings.position_interval_s)
        self.reports = Interval.of_seconds(REPORT_S)
        self.cluster_checks = Interval.of_seconds(settings.cluster_check_s)

    def start(self, feed: TickSource, speed: float, as_live: bool, saved: Position | None) -> None:
        """Set the pacing and save it before the first message, so that a resumed run has the same
        offset and trade-id suffix.
        """
        self.idle_lag_us = feed.idle_lag_us
        if saved is None:
            self.span = _find_span(feed, as_live, self.began_us)
        self.pacing = chosen = self._pacing(feed, speed, as_live, saved)
        self.items = self.done.resumed_at = saved.items if saved else 0
        if saved is not None and saved.received_us:
            self.received_us = saved.received_us
        self.sender.acknowledged = self.items
        self.done.offset_us = chosen.offset_us
        self.done.stretch = chosen.stretch
        unvalidated = pacing.position_of(chosen, feed.fingerprint, self.items)
        self.position = replace(unvalidated, received_us=self.received_us)
        self._save()

    def _pacing(
        self, feed: TickSource, speed: float, as_live: bool, saved: Position | None
    ) -> Pacing:
        if saved is not None:
            return pacing.resume(saved)
        if self.idle_lag_us is not None:
            return pacing.at_once(self.began_us)
        if feed.in_real_time:
            return pacing.real_time(self.began_us)
        if as_live:
            return pacing.as_live(self._require_span(), speed, self.began_us)
        return pacing.original_times(speed)

    def send(self, feed: TickSource) -> None:
        """Send all items that no earlier run got acknowledged, each tick when it is due."""
        for batch in _skip_items(feed.batches(self.received_us), self.items):
            self.done.skipped += batch.skipped
            self.done.sides_inferred += batch.sides_inferred
            if batch.ticks.height:
                ticks = self._move_times(batch.ticks)
                if not self.done.first_us:
                    self._begin(int(ticks["event_time_us"][0]))
                self._send_ticks(ticks)
            self.sender.send_dead_letters(batch.rejected)
            self.items += len(batch.rejected)
            self.done.rejected += len(batch.rejected)
            self._run_periodic(None)

    def close(self) -> None:
        """Close the last tile and bars by heartbeats, then settle.

        If event times follow the clock, they are sent in real time for `final_heartbeat_s`, else
        one is sent.
        """
        self.sender.flush(self.items)
        self.ended_us = self.clock()  # the rate does not include the final heartbeats
        if self.pacing.follows_clock:
            until = self.clock() + int(self.settings.final_heartbeat_s * 1e6)
            while (now := self.clock()) < until:
                self._send_heartbeat(self._event_now_us(now))
                self.sleep(self.settings.heartbeat_interval_s)
        elif self.sent_to_us:
            self._send_heartbeat(min(self.sent_to_us + CLOSE_BAR_US, self.clock()))
        self.settle(finished=True)

    def settle(self, finished: bool) -> None:
        """Wait for the last acknowledgements and save the position."""
        self._send_heartbeat(min(self.sent_to_us, self.clock()))
        self.sender.flush(self.items)
        self.position = replace(self.position, finished=finished)
        self._save()
        self._report(self.clock())

    def _send_heartbeat(self, event_time_us: int) -> None:
        """Send a heartbeat that is never earlier than the last heartbeat or the newest tick."""
        self.heartbeat_us = max(event_time_us, self.heartbeat_us, self.sent_to_us)
        self.sender.send_heartbeat(self.heartbeat_us, self.items)

    def _require_span(self) -> Span:
        if self.span is None:
            raise FeedError(
                "the feed has no span, so its times cannot be moved", "replay it without --as-live"
            )
        return self.span

    def _move_times(self, ticks: pl.DataFrame) -> pl.DataFrame:
        if not self.pacing.id_suffix:
            return ticks
        marked_id = pl.concat_str("trade_id", pl.lit(f"~{self.pacing.id_suffix}"))
        return ticks.with_columns(self.pacing.move("event_time_us"), trade_id=marked_id)

    def _begin(self, first_us: int) -> None:
        """Set the pacing's anchor, and send heartbeats just before the first tick: an empty
        partition would hold the watermark back.
        """
        self.pacing = pacing.anchor(self.pacing, first_us, self.clock())
        self.done.first_us, self.done.began_us = first_us, self.clock()
        self._send_heartbeat(min(first_us - 1, self.clock()))

    def _send_ticks(self, ticks: pl.DataFrame) -> None:
        newest_us = ticks.select(
            pl.max_horizontal(pl.col("event_time_us").cum_max(), self.sent_to_us)
        ).to_series()
        start = 0
        while start < ticks.height:
            now = self.clock()
            due = int(newest_us.search_sorted(self.pacing.due_to_us(now), side="right"))
            stop = min(due, start + SLICE_ROWS)
            if stop > start:
                self._send_slice(ticks.slice(start, stop - start), now)
                if newest_us[stop - 1] > self.sent_to_us:
                    self.sent_to_us, self.sent_at_us = int(newest_us[stop - 1]), now
                start = stop
            next_us = int(newest_us[start]) if start < ticks.height else None
            self._run_periodic(next_us)
            if next_us is not None and start == due:
                self._wait(self.pacing.due_us(next_us))

    def _send_slice(self, ticks: pl.DataFrame, now: int) -> None:
        if self.pacing.follows_clock and self.idle_lag_us is None:
            ticks = ticks.with_columns(ingest_time_us=pl.lit(now))
        self.sender.send_ticks(ticks)
        self.items += ticks.height
        self.done.sent += ticks.height

    def _wait(self, due_us: int) -> None:
        wait_s = (min(due_us, self.heartbeats.next_us) - self.clock()) / 1e6
        self.sleep(min(max(wait_s, SLEEP_S_MIN), SLEEP_S_MAX))

    def _run_periodic(self, next_us: int | None) -> None:
        """Heartbeat, saved position and display, each at its interval.

        `next_us`: the event time of the next tick, if known; heartbeats stay before it.
        """
        now = self.clock()
        if self.cluster_checks.is_due(now):
            self.sender.require_same_cluster()
        if self.heartbeats.is_due(now):
            self._send_heartbeat(min(self._proven_us(now, next_us), self._event_now_us(now)))
        self.sender.poll()
        if self.saves.is_due(now):
            self._save()
        if self.reports.is_due(now):
            self._report(now)

    def _proven_us(self, now: int, next_us: int | None) -> int:
        """The event time that no later tick of the feed will be before."""
        proven_us = self.sent_to_us
        if next_us is not None and self.pacing.speed > 0:
            proven_us = self.pacing.due_to_us(now)
        if self.idle_lag_us is not None:
            proven_us = max(proven_us, self._event_now_us(now) - self.idle_lag_us)
        return proven_us if next_us is None else min(proven_us, next_us - 1)

    def _event_now_us(self, now: int) -> int:
        """The present in event time.

        An exchange has its own clock: its newest trade, and the time since we sent that.
        """
        if self.idle_lag_us is None or not self.sent_to_us:
            return now
        return self.sent_to_us + now - self.sent_at_us

    def _save(self) -> None:
        self.position = replace(self.position, items=self.sender.acknowledged)
        if self.file is not None:
            position.save(self.file, self.position)

    def _report(self, now: int) -> None:
        done = self.done
        done.acknowledged = self.sender.acknowledged
        done.failed = self.sender.failed
        done.event_time_us = self.sent_to_us
        done.elapsed_s = ((self.ended_us or now) - self.began_us) / 1e6
        done.rate = done.sent / done.elapsed_s if done.elapsed_s > 0 else 0.0
        done.eta_s = self._eta_s(done.elapsed_s)
        self.progress(done)

    def _eta_s(self, elapsed_s: float) -> float | None:
        if self.span is None or not self.done.sent:
            return None
        left_us = max(self.pacing.move_us(self.span.last_us) - self.sent_to_us, 0)
        if self.pacing.speed > 0:
            return left_us / 1e6 / self.pacing.speed
        sent_us = self.sent_to_us - self.pacing.move_us(self.span.first_us)
        return elapsed_s * left_us / sent_us if sent_us > 0 else None


def _find_span(feed: TickSource, as_live: bool, received_us: int) -> Span | None:
    """The span if it is needed to move event times, or cheap enough for the display."""
    is_moved = as_live and not feed.in_real_time
    return feed.span(received_us) if is_moved or feed.span_is_cheap else None


def _skip_items(batches: Iterator[Batch], items: int) -> Iterator[Batch]:
    """Batches without their first `items` ticks and rejects (a batch counts its ticks first).

    A batch without any is passed on: it shows that a live exchange is silent.
    """
    for batch in batches:
        skipped = min(items, batch.items)
        items -= skipped
        if skipped < batch.items or not batch.items:
            yield batch.without_first(skipped)
