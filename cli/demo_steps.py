"""What `tick demo` does, step by step, and what it found out."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from cli.reports.progress_bars import bars
from cli.serve import ask
from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import TickError
from feature_store.backfill import run as backfill
from feature_store.feast_repo import objects as feast_objects
from feature_store.online import writer_stats
from feature_store.online.redis_layout import FRESHNESS_REDIS_KEY
from feature_store.online.store import connect
from feature_store.online.writer_stats import WriterReport
from lakehouse import tables
from stack import platform
from streaming import dead_letters
from streaming.feeds import open_feed
from streaming.job import job
from streaming.replay import replay
from streaming.synthetic import history
from streaming.synthetic.feed import SyntheticFeed
from streaming.synthetic.history import Progress
from streaming.synthetic.market import DEMO
from training.tick.pipeline import TickTraining, train_tick

DAY_US = 86_400_000_000
HISTORY_CHUNK_US = 366 * DAY_US  # one job: each costs extra seconds
SETTLE_S = 60.0  # two checkpoints and more: then everything sent is in the lakehouse
POLL_S = 1.0
CATCH_UP_US = (
    15_000_000  # by then the job has worked through what the warm-up and the start left behind
)


@dataclass
class Outcome:
    """The numbers of the final table."""

    trained: TickTraining
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    rejected: int = 0
    features: WriterReport | None = None
    predictions: list[dict[str, Any]] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    # The feed ran in real time: else its rows were of the past, and say nothing of freshness.
    timely: bool = True

    @property
    def complete(self) -> bool:
        """Nothing lost, a model in Production, and every symbol answered (a reasoned refusal is an
        answer).
        """
        return (
            self.trained.promoted
            and self.sent == self.accepted + self.rejected
            and bool(self.predictions)
        )


def play(
    settings: Settings, feed: str | None, speed: float, days: int, live_s: float, console: Console
) -> Outcome:
    """1. services  2. history  3. features over it  4. train and judge, while the live job starts
    5. replay  6. ask.
    """
    own = open_feed([feed]) if feed else None  # a wrong file name should not cost five minutes
    with bars(Console(stderr=True)) as report, ThreadPoolExecutor(1) as pool:
        platform.up(settings, progress=report)
        start_us = now_us() - days * DAY_US
        market = history.load_synthetic(settings, DEMO, start_us, days, report)
        applied = pool.submit(
            feast_objects.apply, settings
        )  # not alongside the training: importing Feast makes MLflow's warnings visible
        backfill.run(settings, start_us, market.now_us, report, chunk_us=HISTORY_CHUNK_US)
        applied.result()
        ready = pool.submit(_start_live, settings, own is None)
        outcome = Outcome(train_tick(settings, progress=report))
        _join(ready, report)
        live = own or SyntheticFeed(
            DEMO, market.now_us, (now_us() - market.now_us) / 1e6 + live_s, market.state()
        )
        since_us, outcome.timely = 0 if own else market.now_us, own is None or speed == 1.0
        outcome.sent = _replay(settings, live, speed, own is not None, report)
        outcome.predictions = _predictions(
            settings, _count(settings, outcome, since_us, own is not None)
        )
    console.print()
    return outcome


def stop(settings: Settings) -> None:
    """Stop every process of the demo."""
    platform.down(settings)


def _start_live(settings: Settings, warm: bool) -> None:  # noqa: FBT001
    """The live job and the writer. Without warm-up for an own file: it may begin a day back, and
    event time never goes back.
    """
    job.submit_fresh(settings, now_us()) if warm else job.start(settings)
    platform.start(settings, "writer")


def _join(ready: "Future[None]", report: Progress) -> None:
    report("start live job", 0, 1)
    ready.result()
    report("start live job", 1, 1)


def _replay(
    settings: Settings, feed: replay.Replayable, speed: float, as_live: bool, report: Progress
) -> int:
    span = feed.span(now_us())
    span_us = max(1, span.last_us - span.first_us)
    began_us, caught_up = now_us(), False

    def show(done: replay.Progress) -> None:
        nonlocal caught_up
        if (
            not caught_up and done.event_time_us > began_us + CATCH_UP_US
        ):  # only rows of the present tell how fresh rows are
            caught_up = True
            connect(settings).delete(FRESHNESS_REDIS_KEY)
        reached_us = int((done.event_time_us - done.first_us) / done.stretch)
        report("replay live feed", min(max(0, reached_us), span_us), span_us)

    with ThreadPoolExecutor(1) as pool:
        api = pool.submit(platform.start, settings, "api")
        done = replay.replay(feed, settings, speed if as_live else 1.0, as_live, progress=show)
        api.result()
    report("replay live feed", 1, 1)
    if not caught_up:
        connect(settings).delete(FRESHNESS_REDIS_KEY)
    return done.sent + done.rejected


def _count(
    settings: Settings, outcome: Outcome, since_us: int, synthetic_history: bool
) -> list[str]:
    """Count what arrived until it adds up or the time is over; returns the symbols of the feed."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        rows = tables.count_ticks(
            settings,
            since_us,
            now_us() + DAY_US,
            without_venue=DEMO.venue if synthetic_history else None,
        )
        outcome.accepted, outcome.duplicates, outcome.late = (
            rows.rows,
            rows.rows - rows.distinct,
            rows.late,
        )
        outcome.reasons = dict(dead_letters.counts(settings))
        outcome.rejected = sum(outcome.reasons.values())
        if outcome.sent == outcome.accepted + outcome.rejected or time.monotonic() > deadline:
            outcome.features = writer_stats.read(connect(settings))
            return rows.symbols
        time.sleep(POLL_S)


def _predictions(settings: Settings, symbols: list[str]) -> list[dict[str, Any]]:
    try:
        return list(ask(settings, symbols, include_features=False)["results"]) if symbols else []
    except TickError as error:
        return [
            {"symbol": symbol, "status": "refused", "reason": error.message} for symbol in symbols
        ]
