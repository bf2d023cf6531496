"""When a service is back after a fault, without a person, and the bounds of the promise P5."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from redis import RedisError

from contracts import live_job
from contracts.clock import now_us
from contracts.config.groups.redis import RedisSettings
from contracts.config.settings import Settings
from contracts.errors import JobError
from contracts.redis_keys import HEARTBEAT_KEY
from feature_store.flink import rest as flink_rest
from feature_store.online.store import connect
from stack import platform

BOUNDS_S = {
    "kill taskmanager": 15.0,
    "kill jobmanager": 30.0,
    "kill kafka": 30.0,
    "kill redis": 3.0,
    "kill writer": 5.0,
    "kill api": 5.0,
}
POLL_S = 0.1
TIMEOUT_S = 240.0
JOB_TIMEOUT_S = 60.0
# These are back when ticks of the present have passed through them, the others when they respond.
STREAMING = frozenset({"taskmanager", "jobmanager", "kafka"})


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds until a service was back after each of several faults; `absent` never were."""

    count: int
    absent: int
    shortest: float | None
    middle: float | None
    longest: float | None

    def within(self, bound_s: float | None) -> bool | None:
        """Whether the longest is within the bound; None without a bound."""
        if bound_s is None:
            return None
        return self.absent == 0 and (self.longest is None or self.longest <= bound_s)


def spread(seconds: Sequence[float | None]) -> Spread:
    """The spread of recoveries; None is a service that did not come back."""
    back = sorted(one for one in seconds if one is not None)
    absent = len(seconds) - len(back)
    if not back:
        return Spread(len(seconds), absent, None, None, None)
    return Spread(len(seconds), absent, back[0], median(back), back[-1])


def until(done: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> float | None:
    """Seconds until `done`, None if it takes longer than `timeout_s`."""
    began_s = time.monotonic()
    while not done():
        if time.monotonic() - began_s > timeout_s:
            return None
        time.sleep(POLL_S)
    return time.monotonic() - began_s


def returns(settings: Settings, name: str, old_pid: int) -> bool:
    """Wait until a killed service is back; False if that takes longer than `TIMEOUT_S`."""
    if until(lambda: _is_replaced(settings, name, old_pid)) is None:
        return False
    if name == "jobmanager" and until(lambda: _runs(settings)) is None:
        return False
    return name not in STREAMING or flows(settings)


def _is_replaced(settings: Settings, name: str, old_pid: int) -> bool:
    service = platform.find_service(settings, name)
    process = service.process()
    return process is not None and process.pid != old_pid and service.ready()


def _runs(settings: Settings) -> bool:
    """Whether every task of the live job runs."""
    try:
        job_id = flink_rest.running_job(settings, live_job.NAME)
        if job_id is None:
            return False
        flink_rest.wait_running(settings, job_id, JOB_TIMEOUT_S)
    except JobError:
        return False
    return True


def flows(settings: RedisSettings) -> bool:
    """Wait until a tick that is sent from now on has passed through the whole pipeline."""
    since_ms = now_us() // 1000
    return until(lambda: _heartbeat_ms(settings) >= since_ms) is not None


def _heartbeat_ms(settings: RedisSettings) -> int:
    try:
        with connect(settings) as client:
            return int(client.get(HEARTBEAT_KEY) or 0)
    except RedisError:
        return 0
