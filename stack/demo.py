"""The steps of `tick demo`: services, synthetic history, features, training, a live feed,
predictions.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from contracts.clock import now_us
from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import TickError
from contracts.progress import Progress
from contracts.redis_keys import FRESHNESS_KEY
from feature_store.backfill import run as backfill
from feature_store.feast_repo import objects as feast_objects
from feature_store.online import writer_stats
from feature_store.online.store import connect
from feature_store.online.writer_stats import WriterReport
from lakehouse.tables import Lakehouse
from stack import platform
from stack.services.project_services import api_client
from streaming import dead_letters
from streaming.feeds import open_feed
from streaming.job import job
from streaming.replay import replay
from streaming.synthetic import history
from streaming.synthetic.feed import SyntheticFeed
from streaming.synthetic.market import DEMO
from training.tick.all_steps import TickTraining, train_tick

HISTORY_CHUNK_US = 366 * DAY_US  # one Flink job for the whole history: each job costs seconds
SETTLE_S = 60.0  # more than two checkpoints: by then everything sent is in the lakehouse
POLL_S = 1.0
# By then the job has processed the backlog of the warm-up and of its start.
CATCH_UP_US = 15_000_000


@dataclass(frozen=True)
class DemoOptions:
    """`feed`: file or glob instead of the synthetic live feed; `speed` applies to that feed.

    `days`: length of the synthetic history. `live_s`: length of the synthetic live feed.
    """

    feed: str | None = None
    speed: float = 1.0
    days: int = 16
    live_s: float = 75.0


@dataclass
class DemoReport:
    """The results of the demo.

    `real_time`: the feed ran in real time. Otherwise its rows were in the past, and their freshness
    is meaningless.
    """

    training: TickTraining
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    rejected: int = 0
    writer: WriterReport | None = None
    predictions: list[dict[str, Any]] = field(default_factory=list)
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    real_time: bool = True

    @property
    def all_arrived(self) -> bool:
        """Whether every tick that was sent was either accepted or rejected."""
        return self.sent == self.accepted + self.rejected

    @property
    def complete(self) -> bool:
        """Whether no tick was lost, the model is in Production, and every symbol has a result (a
        refusal with a reason is a result).
        """
        return self.training.promoted and self.all_arrived and bool(self.predictions)


def run_demo(settings: Settings, options: DemoOptions, progress: Progress) -> DemoReport:
    """1. Start the services.  2. Load synthetic history.  3. Compute its features.  4. Train and
    evaluate, while the live job starts.  5. Replay the live feed.  6. Request predictions.
    """
    # Open the feed first: a wrong file name must fail at once, not after five minutes.
    own_feed = open_feed([options.feed]) if options.feed else None
    with ThreadPoolExecutor(1) as pool:
        platform.up(settings, progress=progress)
        start_us = now_us() - options.days * DAY_US
        market = history.load_synthetic(settings, DEMO, start_us, options.days, progress)
        # Not during the training: importing Feast makes MLflow's warnings visible.
        feast = pool.submit(feast_objects.apply, settings)
        backfill.run(settings, start_us, market.now_us, progress, chunk_us=HISTORY_CHUNK_US)
        feast.result()
        live_job = pool.submit(_start_live_job, settings, own_feed is None)
        report = DemoReport(train_tick(settings, progress=progress))
        _await_live_job(live_job, progress)
    if own_feed is not None:
        report.real_time = options.speed == 1.0
        report.sent = _replay(settings, own_feed, options.speed, True, progress)
        symbols = _await_arrival(settings, report, 0, without_venue=DEMO.venue)
    else:
        duration_s = (now_us() - market.now_us) / 1e6 + options.live_s
        feed = SyntheticFeed(DEMO, market.now_us, duration_s, market.state())
        report.sent = _replay(settings, feed, 1.0, False, progress)
        symbols = _await_arrival(settings, report, market.now_us, without_venue=None)
    report.predictions = _request_predictions(settings, symbols)
    return report


def _start_live_job(settings: Settings, warm_up: bool) -> None:
    """Start the live job and the writer. No warm-up for the user's feed: it may begin a day back,
    and event time never goes back.
    """
    if warm_up:
        job.submit_fresh(settings, now_us())
    else:
        job.start(settings)
    platform.start(settings, "writer")


def _await_live_job(live_job: "Future[None]", progress: Progress) -> None:
    progress("start live job", 0, 1)
    live_job.result()
    progress("start live job", 1, 1)


def _replay(
    settings: Settings, feed: replay.TickSource, speed: float, as_live: bool, progress: Progress
) -> int:
    """Replay the feed while the API starts; returns the number of its rows, rejected ones
    included.
    """
    span = feed.span(now_us())
    span_us = max(1, span.last_us - span.first_us)
    begin_us = now_us()
    caught_up = False

    def show(position: replay.ReplayProgress) -> None:
        nonlocal caught_up
        # Measure freshness only from rows of the present.
        if not caught_up and position.event_time_us > begin_us + CATCH_UP_US:
            caught_up = True
            connect(settings).delete(FRESHNESS_KEY)
        reached_us = int((position.event_time_us - position.first_us) / position.stretch)
        progress("replay live feed", min(max(0, reached_us), span_us), span_us)

    with ThreadPoolExecutor(1) as pool:
        api = pool.submit(platform.start, settings, "api")
        result = replay.replay(feed, settings, speed, as_live, progress=show)
        api.result()
    progress("replay live feed", 1, 1)
    if not caught_up:
        connect(settings).delete(FRESHNESS_KEY)
    return result.sent + result.rejected


def _await_arrival(
    settings: Settings, report: DemoReport, since_us: int, without_venue: str | None
) -> list[str]:
    """Count the ticks in the lakehouse until all have arrived, for SETTLE_S at most; returns the
    symbols of the feed.
    """
    lakehouse = Lakehouse(settings)
    deadline = time.monotonic() + SETTLE_S
    while True:
        counts = lakehouse.count_ticks(since_us, now_us() + DAY_US, without_venue)
        report.accepted = counts.rows
        report.duplicates = counts.rows - counts.distinct
        report.late = counts.late
        report.rejected_by_reason = dict(dead_letters.counts(settings))
        report.rejected = sum(report.rejected_by_reason.values())
        if report.all_arrived or time.monotonic() > deadline:
            report.writer = writer_stats.read(connect(settings))
            return counts.symbols
        time.sleep(POLL_S)


def _request_predictions(settings: ServingSettings, symbols: list[str]) -> list[dict[str, Any]]:
    if not symbols:
        return []
    try:
        return list(api_client(settings).predict_json(symbols)["results"])
    except TickError as error:
        return [
            {"symbol": symbol, "status": "refused", "reason": error.message} for symbol in symbols
        ]
