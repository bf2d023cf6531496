"""Watches the live job in the background: /readyz and /metrics wait for neither Flink nor Kafka.

One look every `WATCH_S` seconds. A request reads the newest one, which counts as unknown when it
is too old.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import TickError
from feature_store.flink.consumer_lag import ConsumerLags
from feature_store.flink.job_health import JobHealth, examine
from serving.state.platform_metrics import counter, gauge, labelled

WATCH_S = 10.0  # the JobManager refreshes its own figures no more often
TIMEOUT_S = 2.0  # of each of the twelve requests of a look
AGE_S_MAX = 60.0  # longer than two looks in which every request times out
log = structlog.get_logger("serving")


@dataclass(frozen=True, eq=False)
class Look(Collector):
    """One look at the job: `health`, or in `unknown` the reason why there is none."""

    health: JobHealth | None
    unknown: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong. A job whose health is unknown has a problem too."""
        return self.health.problems if self.health else (f"unknown: {self.unknown}",)

    def collect(self) -> Iterator[Metric]:
        """The same for Prometheus; what is not known has no sample."""
        known = float(self.health is not None)
        yield gauge("tick_flink_up", "1 when Flink answered about its jobs", known)
        what = "what `tick job status` finds wrong with the live job"
        yield gauge("tick_job_problems", what, len(self.problems))
        if self.health is not None:
            yield from _health_metrics(self.health)


def _health_metrics(health: JobHealth) -> Iterator[Metric]:
    running = float(health.state == "RUNNING")
    yield gauge("tick_job_running", "1 when the live job is RUNNING", running)
    yield counter("tick_job_restarts", "restarts of the live job since its start", health.restarts)
    what = "failures of the live job within ten minutes"
    yield gauge("tick_job_failures_recent", what, health.failures)
    readers = {table: float(works) for table, works in health.readers.items()}
    what = "1 when all tasks of a reader of the live job do their work"
    yield labelled("tick_job_reader_running", what, "reader", readers)
    lags = {lag.group: float(lag.messages) for lag in health.lags or ()}
    what = "messages of its topic that a consumer group has not committed yet"
    yield labelled("tick_consumer_lag_messages", what, "group", lags)


class JobWatch:
    """Keeps the newest look at the live job."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._lags = settings, ConsumerLags(settings, TIMEOUT_S)
        self._look = Look(None, "the job has not been looked at yet")
        self._taken_s = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, in the running event loop."""
        self._task = asyncio.create_task(self._keep_looking())

    async def stop(self) -> None:
        """End it. A look under way in its thread ends by its own time-outs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def newest(self) -> Look:
        """The newest look, without waiting."""
        age_s = time.monotonic() - self._taken_s
        if age_s > AGE_S_MAX:
            return Look(None, f"the last look at the job is {age_s:.0f} s old")
        return self._look

    async def _keep_looking(self) -> None:
        while True:
            look = await asyncio.to_thread(self._examine)
            if look.problems != self._look.problems:
                log.warning("the live job has changed", problems=look.problems)
            self._look, self._taken_s = look, time.monotonic()
            await asyncio.sleep(WATCH_S)

    def _examine(self) -> Look:
        try:
            return Look(examine(self._settings, self._lags, now_us() // 1000, TIMEOUT_S))
        except TickError as error:
            return Look(None, error.message)
        except Exception as error:  # noqa: BLE001 - an answer of another shape: the watch goes on
            return Look(None, f"{type(error).__name__} while asking Flink")
