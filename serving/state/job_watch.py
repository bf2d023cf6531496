"""Polls the health of the live job in the background, so that /readyz and /metrics wait for neither
Flink nor Kafka.

Requests read the latest snapshot. A snapshot that is too old counts as unknown.
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
from serving.state.platform_metrics import counter, gauge, labelled_gauge

POLL_S = 10.0  # the JobManager does not refresh its metrics more often
TIMEOUT_S = 2.0  # of each of the twelve HTTP requests of a poll
AGE_S_MAX = 60.0  # longer than two polls in which every request times out
log = structlog.get_logger("serving")


@dataclass(frozen=True, eq=False)
class JobSnapshot(Collector):
    """Health of the live job at one time; `health` is None when it is unknown, for the reason
    `unknown`.
    """

    health: JobHealth | None
    unknown: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems of the job. An unknown health is a problem too."""
        return self.health.problems if self.health else (f"unknown: {self.unknown}",)

    def collect(self) -> Iterator[Metric]:
        """The Prometheus metrics; unknown values have no sample."""
        is_known = float(self.health is not None)
        yield gauge("tick_flink_up", "1 when Flink reports the state of its jobs", is_known)
        yield gauge(
            "tick_job_problems",
            "problems of the live job, as in `tick job status`",
            len(self.problems),
        )
        if self.health is not None:
            yield from _health_metrics(self.health)


def _health_metrics(health: JobHealth) -> Iterator[Metric]:
    is_running = float(health.state == "RUNNING")
    yield gauge("tick_job_running", "1 when the live job is RUNNING", is_running)
    yield counter("tick_job_restarts", "restarts of the live job since its start", health.restarts)
    yield gauge(
        "tick_job_failures_recent", "failures of the live job within ten minutes", health.failures
    )
    yield labelled_gauge(
        "tick_job_reader_running",
        "1 when all tasks of a reader of the live job are running",
        "reader",
        {table: float(works) for table, works in health.readers.items()},
    )
    yield labelled_gauge(
        "tick_consumer_lag_messages",
        "messages of its topic that a consumer group has not committed yet",
        "group",
        {lag.group: float(lag.messages) for lag in health.lags or ()},
    )


class JobWatch:
    """Keeps the latest snapshot of the live job's health."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lags = ConsumerLags(settings, TIMEOUT_S)
        self._snapshot = JobSnapshot(None, "the live job has not been checked yet")
        self._taken_s = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start polling in the running event loop."""
        self._task = asyncio.create_task(self._poll_indefinitely())

    async def stop(self) -> None:
        """Stop polling. A poll in progress ends in its thread, by its timeouts."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def latest(self) -> JobSnapshot:
        """The latest snapshot, without waiting."""
        age_s = time.monotonic() - self._taken_s
        if age_s > AGE_S_MAX:
            return JobSnapshot(None, f"the last check of the job is {age_s:.0f} s old")
        return self._snapshot

    async def _poll_indefinitely(self) -> None:
        while True:
            snapshot = await asyncio.to_thread(self._take_snapshot)
            if snapshot.problems != self._snapshot.problems:
                log.warning("the live job has changed", problems=snapshot.problems)
            self._snapshot = snapshot
            self._taken_s = time.monotonic()
            await asyncio.sleep(POLL_S)

    def _take_snapshot(self) -> JobSnapshot:
        try:
            health = examine(self._settings, self._lags, now_us() // 1000, TIMEOUT_S)
        except TickError as error:
            return JobSnapshot(None, error.message)
        except Exception as error:  # noqa: BLE001 - an unexpected response must not end the polling
            return JobSnapshot(None, f"{type(error).__name__} while reading the state of Flink")
        return JobSnapshot(health)
