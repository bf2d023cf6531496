"""Runs a shadow of the new program alongside the live job, and compares what both publish."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from contracts import live_job, topics
from contracts.clock import now_us as clock_us
from contracts.config.settings import Settings
from contracts.durations import SECOND_US
from contracts.errors import DatasetError, JobError
from contracts.progress import Progress
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program, Submitter
from lakehouse.tables import Lakehouse
from streaming.job import offsets, warmup
from streaming.upgrade import feature_rows, shadow
from streaming.upgrade.comparison import LIVE, SHADOW, Comparison, Result
from streaming.upgrade.feature_rows import FeatureRows
from streaming.upgrade.shadow import Shadow

POLL_S = 0.5
LOOK_S = 2.0  # interval at which both jobs must be found running
RUNNING_TIMEOUT_S = 120.0
# The live topic is read from a minute ago: rows may trail the heartbeat rows by that much.
EARLIER_MS = 60_000
CAUGHT_UP_US = 3 * SECOND_US
SETTLE_S = 20.0  # how much later than its heartbeat a row may arrive
# A tick that a checkpoint covers is in silver once the checkpoint after it is complete.
COMMITTED = 2


def completed_checkpoints(settings: Settings, job_id: str) -> int:
    """How many checkpoints a job has completed. Raises JobError."""
    counts = flink_rest.call(settings, f"/jobs/{job_id}/checkpoints").get("counts", {})
    return int(counts.get("completed", 0))


def await_checkpoints(settings: Settings, job_id: str, more: int) -> None:
    """Wait until a job has completed so many further checkpoints, or raise JobError when it ended
    or `upgrade_timeout_s` is over. A new job counts from its start.
    """
    deadline = time.monotonic() + settings.upgrade_timeout_s
    wanted = more + (completed_checkpoints(settings, job_id) if more > 1 else 0)
    while completed_checkpoints(settings, job_id) < wanted:
        require_running(settings, job_id)
        if time.monotonic() > deadline:
            raise JobError(
                f"job {job_id} has not completed a checkpoint within"
                f" {settings.upgrade_timeout_s:.0f} s (TICK_UPGRADE_TIMEOUT_S):\n"
                f"{flink_rest.root_cause(settings, job_id)}",
                "see `tick job status`, `tick logs taskmanager`",
            )
        time.sleep(POLL_S)


def require_running(settings: Settings, job_id: str) -> None:
    """Raise JobError with its failure if a job has ended."""
    if (state := flink_rest.state(settings, job_id)) in flink_rest.ENDED:
        cause = flink_rest.root_cause(settings, job_id)
        raise JobError(f"job {job_id} is {state}:\n{cause}", "see `tick logs taskmanager`")


def warmup_end_us(settings: Settings) -> int:
    """End of the warm-up: the newest tick in silver, which may be older than now in a replay."""
    with suppress(DatasetError):
        return min(clock_us(), Lakehouse(settings).time_range()[1] + 1)
    return clock_us()


@dataclass(frozen=True, slots=True)
class Stretch:
    """The comparison of one stretch; `changed` are columns that may differ."""

    settings: Settings
    child: Submitter
    live_id: str
    changed: frozenset[str]
    progress: Progress

    def compare(self, mirror: Shadow, program: Program) -> Result:
        """Run the shadow of `program` and compare it with the live job over `upgrade_stretch_s`.

        The live job and its topics are only read. Raises JobError, ServiceError.
        """
        with shadow.created(self.settings, mirror):
            group = mirror.of(live_job.TICKS.group)
            offsets.copy(self.settings, live_job.TICKS, group)
            # From these offsets on the shadow reads ticks; those before them must be in silver.
            await_checkpoints(self.settings, self.live_id, COMMITTED)
            warmup.publish(self.settings, warmup_end_us(self.settings), mirror.warmup)
            since_ms = clock_us() // 1000 - EARLIER_MS
            live_topic = topics.TICK_FEATURES.name
            with (
                self._running(mirror.program(self.settings, program)) as shadow_id,
                feature_rows.opened(self.settings, live_topic, since_ms) as live_rows,
                feature_rows.opened(self.settings, mirror.features) as shadow_rows,
            ):
                return self._compare(live_rows, shadow_rows, shadow_id)

    @contextmanager
    def _running(self, program: Program) -> Iterator[str]:
        """The shadow, cancelled at the end of the block."""
        job_id = self.child.submit(program)
        try:
            with kept_alive(self.settings, job_id):
                flink_rest.wait_running(self.settings, job_id, RUNNING_TIMEOUT_S)
                yield job_id
        finally:
            with suppress(JobError):  # ended already, or Flink ends it: its client is silent
                flink_rest.cancel(self.settings, job_id)
                flink_rest.wait_for_end(self.settings, job_id, time.monotonic() + 30)

    def _compare(self, live: FeatureRows, mirror: FeatureRows, shadow_id: str) -> Result:
        stretch_us = self.settings.upgrade_stretch_s * SECOND_US
        comparison = Comparison(Lakehouse(self.settings), self.changed, stretch_us)
        self._catch_up(comparison, live, mirror, shadow_id)
        comparison.begin(live.reached_us)
        self._collect(comparison, live, mirror, shadow_id)
        await_checkpoints(self.settings, self.live_id, COMMITTED)
        return comparison.finish()

    def _catch_up(
        self, comparison: Comparison, live: FeatureRows, mirror: FeatureRows, shadow_id: str
    ) -> None:
        """Read until the shadow has reached the event time of the live job.

        What was collected until then is ignored: the windows of the shadow were filling.
        """
        watch = self._watch(shadow_id, self.settings.upgrade_timeout_s)
        while not (live.reached_us and mirror.reached_us >= live.reached_us - CAUGHT_UP_US):
            comparison.add(LIVE, live.poll())
            comparison.ignore_until(live.reached_us)
            if live.reached_us:
                comparison.add(SHADOW, mirror.poll())
            behind_s = (live.reached_us - mirror.reached_us) // SECOND_US
            self.progress("catching up", max(0, 3600 - behind_s), 3600)
            watch()
        self.progress("catching up", 3600, 3600)

    def _collect(
        self, comparison: Comparison, live: FeatureRows, mirror: FeatureRows, shadow_id: str
    ) -> None:
        """Read until both jobs have published the stretch."""
        stretch_s = self.settings.upgrade_stretch_s
        watch = self._watch(shadow_id, stretch_s + self.settings.upgrade_timeout_s)
        settled_s = float("inf")
        while comparison.waiting or settled_s == float("inf"):
            comparison.add(LIVE, live.poll())
            comparison.add(SHADOW, mirror.poll())
            reached_us = min(live.reached_us, mirror.reached_us)
            done_s = (reached_us - comparison.result.from_us) // SECOND_US
            self.progress("comparing", max(0, min(done_s, stretch_s)), stretch_s)
            if reached_us >= comparison.result.to_us:
                settled_s = min(settled_s, time.monotonic() + SETTLE_S)
            if time.monotonic() > settled_s:
                return
            watch()

    def _watch(self, shadow_id: str, timeout_s: float) -> Callable[[], None]:
        """A function that raises JobError when a job has ended, or the time is over."""
        deadline, next_look = time.monotonic() + timeout_s, 0.0

        def look() -> None:
            nonlocal next_look
            now = time.monotonic()
            if now > deadline:
                raise JobError(
                    f"the event time of both jobs has not advanced far enough within"
                    f" {timeout_s:.0f} s",
                    "the comparison needs ticks or heartbeats: is a feed running? see `tick job"
                    " status`, TICK_UPGRADE_STRETCH_S and TICK_UPGRADE_TIMEOUT_S",
                )
            if now > next_look:
                next_look = now + LOOK_S
                require_running(self.settings, self.live_id)
                require_running(self.settings, shadow_id)

        return look


@contextmanager
def kept_alive(settings: Settings, job_id: str) -> Iterator[None]:
    """Tell Flink during the block that the client of a job lives, from a thread."""
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(settings.client_timeout_s / 5):
            with suppress(JobError):  # Flink may answer the next one
                now_ms = flink_rest.call(settings, f"/jobs/{job_id}")["now"]
                flink_rest.report_client(settings, job_id, now_ms)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
