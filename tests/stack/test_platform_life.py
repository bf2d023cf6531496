"""Up and down with small real processes instead of Kafka and Flink: order, idempotence, errors."""

import os
import signal
import sys
import time

import psutil
import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from stack import bounded_value, jars, platform, secrets
from stack.process import pids
from stack.process.pids import ProcessRecord
from stack.process.service import Service

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
DIE = (sys.executable, "-c", "raise SystemExit('bad configuration')")
# Notes its end in a file, so that a test sees the order in which services stop.
NOTE_END = """
import pathlib, signal, sys, time
def end(*_):
    with open(sys.argv[2], "a") as file: file.write(sys.argv[1] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[3]).touch()
time.sleep(600)
"""


@pytest.fixture
def small(free_settings, monkeypatch):
    """Replaces the services by small ones: `small(name, command, …)` adds one."""
    factories = {}
    monkeypatch.setattr(platform, "FACTORIES", factories)
    monkeypatch.setattr(platform, "POLL_S", 0.02)
    monkeypatch.setattr(jars, "ensure_downloaded", lambda *_: None)
    monkeypatch.setattr(bounded_value, "ensure_compiled", lambda _: None)

    def add(name: str, command=SLEEP, ready=lambda: True, **fields) -> Service:
        service = Service(name, "1", command, ready, free_settings.root, **fields)
        factories[name] = lambda _settings: service
        return service

    yield add
    platform.down(free_settings)


def records(settings, *names: str) -> list[ProcessRecord | None]:
    return [ProcessRecord.from_file(paths.run(settings) / f"{name}.json") for name in names]


def test_services_start_together_and_each_is_reported(small, free_settings):
    steps = []
    for name in ("one", "two"):
        small(name)
    platform.up(free_settings, ("one", "two"), lambda *step: steps.append(step))
    assert all(record.process() for record in records(free_settings, "one", "two"))
    assert steps == [("start services", 1, 2), ("start services", 2, 2)]
    assert secrets.find_api_key(free_settings)


def test_a_second_up_starts_nothing_again(small, free_settings):
    prepared = []
    small("one", prepare=lambda: prepared.append("one"))
    platform.up(free_settings, ("one",))
    before = records(free_settings, "one")
    platform.up(free_settings, ("one",))
    assert records(free_settings, "one") == before
    assert prepared == ["one"]


def test_a_service_is_finished_when_it_is_ready(small, free_settings):
    polls = iter([False, False, True])
    calls = []
    small("one", ready=lambda: next(polls), after_ready=lambda: calls.append("after"))
    platform.start_all(free_settings, ["one"])
    assert calls == ["after"]
    assert next(polls, "used up") == "used up"


def test_a_service_that_dies_ends_the_wait_for_the_others(small, free_settings):
    small("slow", ready=lambda: False)
    small("broken", DIE, ready=lambda: False)
    with pytest.raises(ServiceError, match="broken died while starting:\nbad configuration"):
        platform.start_all(free_settings, ["slow", "broken"])
    assert records(free_settings, "slow")[0].process() is not None


def test_a_service_that_is_not_ready_in_time_is_named_with_its_log(small, free_settings):
    settings = free_settings.model_copy(update={"start_timeout_s": 0.0})
    small("slow", ready=lambda: False)
    with pytest.raises(ServiceError, match="slow is not ready after 0 s:") as caught:
        platform.start_all(settings, ["slow"])
    assert str(settings.root / "logs" / "slow.log") in caught.value.hint


def test_the_users_of_a_service_stop_before_it(small, free_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "STOP_ORDER", (("api",), ("taskmanager",), ("kafka",)))
    order = tmp_path / "order"
    names = ("kafka", "other", "api", "taskmanager")
    for name in names:
        started = tmp_path / name
        command = (sys.executable, "-c", NOTE_END, name, str(order), str(started))
        small(name, command, ready=started.exists)
    platform.start_all(free_settings, names)
    stopped = platform.down(free_settings)
    assert stopped == ["api", "taskmanager", "kafka", "other"]
    assert order.read_text().split() == stopped


def test_down_stops_only_what_is_asked_for(small, free_settings):
    for name in ("one", "two"):
        small(name)
    platform.start_all(free_settings, ["one", "two"])
    assert platform.down(free_settings, ["one"]) == ["one"]
    one, two = records(free_settings, "one", "two")
    assert one is None
    assert two.process() is not None
    assert platform.down(free_settings, ["one"]) == []


def test_down_reports_no_service_that_had_died_before(small, free_settings):
    small("one")
    platform.start(free_settings, "one")
    kill(free_settings, "one")
    assert platform.down(free_settings) == []
    assert records(free_settings, "one") == [None]


def kill(settings, name: str) -> None:
    (record,) = records(settings, name)
    os.kill(record.pid, signal.SIGKILL)
    while record.process() is not None:
        time.sleep(0.01)


def test_up_restarts_an_optional_service_only_if_it_died(small, free_settings, monkeypatch):
    monkeypatch.setattr(platform, "PLATFORM", ("kafka",))
    for name in ("kafka", "writer", "api"):
        small(name)
    platform.start(free_settings, "writer")
    platform.start(free_settings, "api")
    kill(free_settings, "writer")
    platform.down(free_settings, ["api"])
    platform.up(free_settings)
    kafka, writer, api = records(free_settings, "kafka", "writer", "api")
    assert kafka.process() is not None
    assert writer.process() is not None
    assert api is None


def test_the_status_lists_the_platform_and_what_was_started(small, free_settings, monkeypatch):
    monkeypatch.setattr(platform, "PLATFORM", ("kafka",))
    for name in ("kafka", "writer", "api"):
        small(name)
    platform.start(free_settings, "writer")
    rows = platform.status(free_settings, time.time())
    assert {row.name: row.state for row in rows} == {"kafka": "off", "writer": "ready"}


def test_an_unknown_service_stops_up_before_anything_starts(small, free_settings):
    small("one")
    with pytest.raises(ServiceError, match="unknown service 'two'") as caught:
        platform.start_all(free_settings, ["one", "two"])
    assert caught.value.hint == "choose one of: one"
    assert records(free_settings, "one") == [None]


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_stepped_clock_starts_nothing_twice_and_down_ends_the_real_process(
    small, free_settings, monkeypatch, step_s
):
    small("one")
    platform.start(free_settings, "one")
    before = records(free_settings, "one")
    boot_s = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot_s + step_s)
    states = {row.name: row.state for row in platform.status(free_settings, time.time())}
    assert states["one"] == "ready"
    platform.up(free_settings, ("one",))
    assert records(free_settings, "one") == before
    assert platform.down(free_settings) == ["one"]
    assert before[0].members() == []


def test_a_process_that_cannot_be_killed_does_not_keep_the_others_running(
    small, free_settings, monkeypatch
):
    monkeypatch.setattr(platform, "STOP_ORDER", (("stuck",), ("other",)))
    monkeypatch.setattr(pids, "KILL_TIMEOUT_S", 0.1)
    for name in ("stuck", "other"):
        small(name)
    platform.start_all(free_settings, ["stuck", "other"])
    stuck, other = records(free_settings, "stuck", "other")
    settings = free_settings.model_copy(update={"stop_timeout_s": 0.1})
    signal_process = psutil.Process.send_signal
    kill_process = psutil.Process.kill
    with monkeypatch.context() as patch:
        patch.setattr(
            psutil.Process,
            "send_signal",
            lambda self, sig: None if self.pid == stuck.pid else signal_process(self, sig),
        )
        patch.setattr(
            psutil.Process,
            "kill",
            lambda self: None if self.pid == stuck.pid else kill_process(self),
        )
        with pytest.raises(ServiceError, match=f"process {stuck.pid} has not ended"):
            platform.down(settings)
    assert other.process() is None
    assert records(free_settings, "stuck") == [stuck]  # so that `down` can be repeated


def test_down_without_a_platform_creates_nothing(small, free_settings):
    assert platform.down(free_settings) == []
    assert not free_settings.root.exists()
