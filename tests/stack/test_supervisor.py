"""A service that dies is restarted without a person, one that dies at every start becomes FAILED,
and `down` leaves nothing behind.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from contracts.files import hold_lock
from stack import platform
from stack.process.log_files import log_tail
from stack.process.pids import ProcessRecord
from stack.supervisor import Supervisor
from tests.stack.test_platform_life import DIE, kill, records, small

__all__ = ["small"]  # a fixture
SHORT = {"supervise_poll_s": 0.05, "supervise_attempts_max": 3, "supervise_pause_s": 10}


@pytest.fixture
def settings(free_settings):
    return free_settings.model_copy(update=SHORT)


def wait_until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.02)


def is_running(settings, name: str) -> bool:
    (record,) = records(settings, name)
    return record is not None and record.process() is not None


def test_a_killed_service_is_restarted_at_once_and_gets_what_follows_a_start(small, settings):
    finished = []
    small("one", after_ready=lambda: finished.append("one"))
    small("two")
    platform.start_all(settings, ["one", "two"])
    before = records(settings, "two")
    kill(settings, "one")
    watch = Supervisor(settings)
    watch.step(0)
    assert is_running(settings, "one")
    watch.step(0.1)
    watch.step(0.2)
    assert finished == ["one", "one"]
    assert records(settings, "two") == before


def test_a_service_that_dies_at_every_start_is_failed_after_the_limit(small, settings):
    service = small("broken", DIE)
    with contextlib.suppress(ServiceError):  # it may also die right after its start
        platform.start(settings, "broken")
    watch, starts, now_s = Supervisor(settings), set(), 0.0
    while not service.failed_file.exists():
        wait_until(lambda: not is_running(settings, "broken"))
        watch.step(now_s)
        starts.add(records(settings, "broken")[0])
        now_s += 20.0
    assert len(starts) == 3
    assert state_of(settings, "broken") == "FAILED"
    watch.step(now_s + 1000)
    assert not is_running(settings, "broken")


def state_of(settings, name: str) -> str:
    return {row.name: row.state for row in platform.status(settings, time.time())}[name]


def test_a_failed_service_that_a_person_starts_is_watched_again(small, settings):
    service = small("one")
    platform.start(settings, "one")
    kill(settings, "one")
    service.failed_file.write_text("3 restarts\n")
    watch = Supervisor(settings)
    watch.step(0)
    assert not is_running(settings, "one")
    platform.up(settings, ["one"])
    watch.step(1)
    kill(settings, "one")
    watch.step(2)
    assert is_running(settings, "one")


def test_a_service_that_was_stopped_is_left_alone(small, settings):
    small("one")
    platform.start(settings, "one")
    watch = Supervisor(settings)
    watch.step(0)
    platform.down(settings, ["one"])
    watch.step(1)
    assert records(settings, "one") == [None]


def test_nothing_is_restarted_while_up_or_down_is_at_work(small, settings):
    small("one")
    platform.start(settings, "one")
    kill(settings, "one")
    watch = Supervisor(settings)
    with hold_lock(paths.run(settings) / "lock", wait=False):
        watch.step(0)
        assert not is_running(settings, "one")
    watch.step(0.1)  # it was not an attempt, so there is no pause
    assert is_running(settings, "one")


def test_a_service_that_cannot_be_started_does_not_keep_the_others_from_it(small, settings):
    small("a", ("no-such-program",))
    small("b")
    platform.start(settings, "b")
    ProcessRecord.from_pid(os.getpid()).write(paths.run(settings) / "a.json")
    ended = ProcessRecord(records(settings, "b")[0].pid, 0.0, 1, "of another boot")
    ended.write(paths.run(settings) / "a.json")
    kill(settings, "b")
    Supervisor(settings).step(0)
    assert is_running(settings, "b")
    assert records(settings, "a") == [ended]  # it is tried again later


def test_logs_are_rotated_while_services_run(small, settings):
    paths.logs(settings).mkdir(parents=True)
    log = paths.logs(settings) / "one.log"
    log.write_bytes(b"x" * (2**20 + 1))
    Supervisor(settings.model_copy(update={"log_mb_max": 1})).step(0)
    assert log.stat().st_size == 0
    assert log.with_suffix(".log.1").stat().st_size == 2**20 + 1


def test_a_restarted_service_leaves_no_zombie_when_others_stop_it(small, settings):
    small("one")
    platform.start(settings, "one")
    kill(settings, "one")
    watch = Supervisor(settings)
    watch.step(0)
    (record,) = records(settings, "one")
    os.kill(record.pid, signal.SIGKILL)
    (paths.run(settings) / "one.json").unlink()
    wait_until(lambda: psutil.Process(record.pid).status() == psutil.STATUS_ZOMBIE)
    watch.step(1)
    assert not psutil.pid_exists(record.pid)


def test_a_real_supervisor_brings_redis_back_and_down_leaves_nothing(settings):
    """All real: kill -9 of Redis, of the supervisor, and `down` while Redis has just died."""
    try:
        platform.start(settings, "redis")
        platform.supervise(settings)
        kill(settings, "redis")
        wait_until(lambda: state_of(settings, "redis") == "ready")
        events = [json.loads(line) for line in supervisor_log(settings)]
        assert {"service died; restarting it"} <= {event["event"] for event in events}
        first = records(settings, "supervisor")
        platform.supervise(settings)
        assert records(settings, "supervisor") == first  # one is enough
        kill(settings, "supervisor")
        assert state_of(settings, "supervisor") == "died"
        platform.supervise(settings)
        assert state_of(settings, "supervisor") == "ready"
        everything = records(settings, "redis", "supervisor")
        os.kill(everything[0].pid, signal.SIGKILL)
    finally:
        platform.down(settings)
    assert [record.members() for record in everything] == [[], []]
    assert [file.name for file in paths.run(settings).iterdir()] == ["lock"]
    time.sleep(4 * settings.supervise_poll_s)
    assert not platform.find_service(settings, "redis").ready()


def supervisor_log(settings) -> list[str]:
    return log_tail(paths.logs(settings) / "supervisor.log", 100).splitlines()


def test_after_a_stop_for_a_reboot_everything_that_ran_is_started_again(small, settings):
    for name in ("one", "two"):
        small(name)
        platform.start(settings, name)
    platform.down(settings, ["two"])
    assert platform.down(settings, forget=False) == ["one"]
    assert not is_running(settings, "one")
    Supervisor(settings).step(0)
    assert is_running(settings, "one")
    assert records(settings, "two") == [None]
