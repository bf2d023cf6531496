"""The faults, each done to a running platform; signals go only to processes that it started."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import RedisError

from bench.platform import services
from contracts import live_job
from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import JobError, TickError
from feature_store.flink import rest as flink_rest
from feature_store.online import rebuild
from feature_store.online.store import connect
from stack.services.project_services import settings_env
from tests.chaos import recovery
from tests.chaos.load import Load
from tests.chaos.plan import Action

BASE_CLIENTS, BASE_PAUSE_S = 2, 0.05
CLIENTS_MAX = 16  # concurrent requests that the API of a run accepts
OVERLOAD = 10
END_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What followed an action; times of the monotonic clock. `recovery_s` is None if the service
    did not come back, and for faults after which nothing has to.
    """

    action: Action
    began_s: float
    ended_s: float
    recovery_s: float | None
    returned: bool = True
    note: str = ""


@contextmanager
def predict_client(
    settings: Settings, file: Path, clients: int, pause_s: float, symbols: list[str]
) -> Iterator[None]:
    """A process that sends requests to /predict during the block; its answers are in `file`."""
    arguments = (str(file), str(clients), str(pause_s), *symbols)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.predict_client", *arguments],
        env=os.environ | settings_env(settings),
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Faults:
    """Does the actions of a plan to one platform under `load`."""

    settings: Settings
    load: Load
    symbols: list[str]
    overload_file: Path

    def perform(self, action: Action) -> Outcome:
        """Do one action, and wait until the platform has recovered from it."""
        began_s = time.monotonic()
        try:
            returned, from_s, note = KINDS[action.kind](self, action)
        except (TickError, RedisError) as error:
            returned, from_s, note = False, None, str(error)
        ended_s = time.monotonic()
        recovery_s = None if from_s is None or not returned else ended_s - from_s
        return Outcome(action, began_s, ended_s, recovery_s, returned, note)


Done = tuple[bool, float | None, str]  # came back, begin of the recovery, a note


def _kill(faults: Faults, action: Action) -> Done:
    process = services.process(faults.settings, action.target)
    began_s = time.monotonic()
    process.kill()
    return recovery.returns(faults.settings, action.target, process.pid), began_s, ""


def _terminate(faults: Faults, action: Action) -> Done:
    process = services.process(faults.settings, action.target)
    began_s = time.monotonic()
    process.terminate()
    return recovery.returns(faults.settings, action.target, process.pid), began_s, ""


def _stall(faults: Faults, action: Action) -> Done:
    process = services.process(faults.settings, action.target)
    process.suspend()
    try:
        time.sleep(action.duration_s)
    finally:
        process.resume()
    began_s = time.monotonic()
    return recovery.flows(faults.settings), began_s, ""


def _flush(faults: Faults, _: Action) -> Done:
    """Empty Redis; then the platform's own rebuild, as `tick online rebuild` does it."""
    began_s = time.monotonic()
    with connect(faults.settings) as client:
        client.flushall()
    written = rebuild.rebuild(faults.settings, now_us()).written
    return recovery.flows(faults.settings), began_s, f"{written} rows rebuilt"


def _overload(faults: Faults, action: Action) -> Done:
    clients = OVERLOAD * CLIENTS_MAX
    with predict_client(faults.settings, faults.overload_file, clients, 0.0, faults.symbols):
        time.sleep(action.duration_s)
    return True, None, f"{clients} clients back to back, the API accepts {CLIENTS_MAX} at a time"


def _stream(faults: Faults, action: Action) -> Done:
    faults.load.begin(action.kind, action.seed)
    try:
        time.sleep(action.duration_s)
    finally:
        faults.load.end()
    return True, None, ""


def _without_restart(work: Callable[[Load], None]) -> Callable[[Faults, Action], Done]:
    def run(faults: Faults, _: Action) -> Done:
        before = _restarts(faults.settings)
        work(faults.load)
        began_s = time.monotonic()
        returned = recovery.flows(faults.settings)
        restarts = (_restarts(faults.settings) or 0) - (before or 0)
        return returned, began_s, f"{restarts} restarts of the job"

    return run


def _restarts(settings: Settings) -> int | None:
    try:
        job_id = flink_rest.running_job(settings, live_job.NAME)
        return flink_rest.restarts(settings, job_id) if job_id else None
    except JobError:
        return None


KINDS: dict[str, Callable[[Faults, Action], Done]] = {
    "kill": _kill,
    "terminate": _terminate,
    "stall": _stall,
    "flush": _flush,
    "overload": _overload,
    "resend": _without_restart(Load.resend),
    "poison": _without_restart(Load.poison),
    **dict.fromkeys(("duplicate", "disorder", "late", "idle", "malformed", "odd_times"), _stream),
}
