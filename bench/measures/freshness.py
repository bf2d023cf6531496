"""Latency from the end of a tile to its row in Redis, via producer, Kafka, live job and writer."""

from dataclasses import dataclass

from bench.cost.process import cpu_s
from bench.errors import BenchError
from bench.platform import services
from bench.report.figures import Figure
from contracts.clock import now_us
from contracts.config.groups.redis import RedisSettings
from contracts.config.settings import Settings
from contracts.durations import SECOND_US
from contracts.redis_keys import FRESHNESS_KEY
from feature_store.online.store import connect
from feature_store.online.writer_stats import WriterReport, read
from stack import platform
from streaming.job import job
from streaming.replay import replay
from streaming.synthetic.feed import SyntheticFeed
from streaming.synthetic.market import DEMO, Exchange

AIM_P50_MS, AIM_P99_MS = 500.0, 1000.0
TICKS_PER_S = 10_000
SYMBOLS = 50
DURATION_S = 240.0
DISCARD_S = 180.0  # until then the JIT compiler of the job takes a whole core
SAMPLES_MAX = 100_000
SETTLE_TIMEOUT_S = 120.0


@dataclass
class Window:
    """Discards the samples of the warm-up, and notes the TaskManager's CPU time at its end."""

    settings: Settings
    discard_s: float
    began_s: float = 0.0
    cpu_s: float = 0.0
    rate: float = 0.0

    def watch(self, progress: replay.ReplayProgress) -> None:
        """Progress callback of the replay, called five times a second."""
        self.rate = progress.rate
        if not self.began_s and progress.elapsed_s >= self.discard_s:
            with connect(self.settings) as client:
                client.delete(FRESHNESS_KEY)
            self.began_s = progress.elapsed_s
            self.cpu_s = self.worker_cpu_s()

    def worker_cpu_s(self) -> float:
        """CPU seconds of the TaskManager so far."""
        return cpu_s(services.process(self.settings, "taskmanager"))


def measure(scale: float = 1.0) -> list[Figure]:
    """p50 and p99 of the age at which rows become readable, the watermark delay included."""
    duration_s, discard_s = max(10.0, DURATION_S * scale), max(4.0, DISCARD_S * scale)
    with services.run_services(platform.PLATFORM, writer_freshness_samples=SAMPLES_MAX) as settings:
        job.start(settings)
        platform.start(settings, "writer")
        window = Window(settings, discard_s)
        done = replay.replay(_market(now_us(), duration_s), settings, progress=window.watch)
        used_s = window.worker_cpu_s() - window.cpu_s
        measured_s = done.elapsed_s - window.began_s + settings.final_heartbeat_s
        _settle(settings, done.event_time_us)
        with connect(settings) as client:
            return _figures(read(client), done.sent, window.rate, used_s / measured_s)


def _settle(settings: RedisSettings, last_us: int) -> None:
    """Wait for the row of the last tile, then stop the writer, which saves its report.

    Rows that are still missing would be the slowest, so they must not be left out.
    """
    last_ms = (last_us // SECOND_US + 1) * 1000
    with connect(settings) as client:
        services.wait(
            lambda: read(client).counters.newest_event_ms >= last_ms,
            "the row of the last tile",
            SETTLE_TIMEOUT_S,
        )
        services.wait(
            lambda: read(client).counters.lag == 0,
            "the end of the writer's backlog",
            SETTLE_TIMEOUT_S,
        )
    platform.down(settings, ["writer"])


def _market(start_us: int, duration_s: float) -> SyntheticFeed:
    names = tuple(f"S{number:03}" for number in range(SYMBOLS))
    exchange = Exchange(
        symbols=names, prices=DEMO.prices, rate=TICKS_PER_S / SYMBOLS, day_shape=0.0
    )
    return SyntheticFeed(exchange, start_us, duration_s)


def _figures(report: WriterReport, sent: int, rate: float, cores: float) -> list[Figure]:
    if report.p50_ms is None or report.p99_ms is None:
        raise BenchError(
            "no row became readable", "see the logs of the TaskManager and of the writer"
        )
    note = (
        f"{report.samples:,} rows of all views; {sent:,} ticks of {SYMBOLS} symbols sent at"
        f" {rate:,.0f}/s"
    )
    return [
        Figure("end of a tile → readable, p50", report.p50_ms, "ms", at_most=AIM_P50_MS, note=note),
        Figure(
            "end of a tile → readable, p99",
            report.p99_ms,
            "ms",
            at_most=AIM_P99_MS,
            note="includes the watermark delay of 200 ms",
        ),
        Figure("TaskManager meanwhile", cores, "cores"),
    ]
