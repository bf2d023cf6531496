"""A reader that ended, a job that always fails and a lost TaskManager are detected and survived.

Uses a separate platform, because the shared job must not be stopped. The tests run in this order.
"""

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from typer.testing import CliRunner, Result

from cli.main import app
from contracts.config import connections, paths
from contracts.config.settings import Settings
from contracts.config.settings import settings as read_settings
from contracts.errors import JobError
from contracts.topics import DEAD_LETTER, TICKS
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program, submit
from stack import platform
from stack.process.pids import ProcessRecord
from stack.services.project_services import settings_env
from streaming.job import job
from streaming.job import states as job_states
from streaming.job import tables as job_tables
from tests.conftest import settings_in
from tests.integration.conftest import eventually

pytestmark = pytest.mark.integration
SERVICES = ("kafka", "jobmanager", "taskmanager")
RESTARTS_MAX = 2
COUNTING = "CREATE TABLE counting (n INT) WITH ('connector'='datagen', 'rows-per-second'='1')"
NOWHERE = "CREATE TABLE nowhere (n INT) WITH ('connector'='blackhole')"
Tick = Callable[..., Result]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = settings_in(tmp_path_factory.mktemp("liveness"), restarts_max=RESTARTS_MAX)
    try:
        platform.up(settings, SERVICES)
        yield settings
    finally:
        platform.down(settings)


@pytest.fixture
def tick(own: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tick]:
    """The command line on that platform."""
    for name, value in settings_env(own).items():
        monkeypatch.setenv(name, value)
    read_settings.cache_clear()
    yield lambda *words: CliRunner().invoke(app, list(words))
    read_settings.cache_clear()


@pytest.fixture
def bounded_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    """A raw reader that ends at once, as it did after a message that failed every restart."""
    unbounded = job_tables.raw_source
    bounded = "'scan.bounded.mode'='latest-offset', 'format'='raw'"

    def raw_source(settings: Settings) -> str:
        return unbounded(settings).replace("'format'='raw'", bounded)

    monkeypatch.setattr(job_tables, "raw_source", raw_source)


def send_malformed(settings: Settings, count: int) -> None:
    producer = Producer(connections.kafka(settings))
    for number in range(count):
        producer.produce(TICKS.name, b"no JSON", partition=number % TICKS.partitions)
    assert producer.flush(30) == 0


def dead_letters(settings: Settings) -> int:
    consumer = Consumer({**connections.kafka(settings), "group.id": "test"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(DEAD_LETTER.name, 0), 10)[1])
    finally:
        consumer.close()


def savepoint(settings: Settings) -> Path:
    return Path(job.stop(settings).removeprefix("file:"))


def test_a_job_that_does_all_of_its_work_is_well(own: Settings, tick: Tick) -> None:
    job.start(own)
    send_malformed(own, 8)
    eventually(lambda: dead_letters(own) == 8, "the dead letters")
    eventually(lambda: tick("job", "status").exit_code == 0, "exit code 0")
    ended = f"{'reader wire_warm':<44} FINISHED"
    eventually(lambda: ended in tick("job", "status").stdout, "the end of the warm-up")
    lines = tick("job", "status").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    shown = {line.split()[0] for line in lines if line}
    assert {
        "tick-job",
        "tick-job-raw",
        "tick-job-predictions",
        "tick-job-warmup",
        "online-writer",
    } <= shown


def test_a_group_that_falls_behind_is_reported(
    own: Settings,
    tick: Tick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lag = "tick-job-raw             ticks                               0"
    eventually(lambda: lag in tick("job", "status").stdout, "the commit of a checkpoint")
    sound = savepoint(own)
    send_malformed(own, 8)
    monkeypatch.setenv("TICK_CONSUMER_LAG_MAX", "7")
    read_settings.cache_clear()
    result = tick("job", "status")
    assert result.exit_code == 1
    assert "group tick-job-raw is 8 messages behind (limit 7)" in result.stdout
    assert f"continue from {sound}: `tick job resume`" in result.stdout


@pytest.mark.usefixtures("bounded_raw")
def test_a_finished_reader_is_reported_while_flink_says_running(own: Settings, tick: Tick) -> None:
    job_id = job.start(own)
    ended = "reader wire_raw has FINISHED"
    eventually(lambda: ended in tick("job", "status").stdout, "the end of the raw reader")
    assert flink_rest.state(own, job_id) == "RUNNING"
    assert tick("job", "status").exit_code == 1
    savepoint(own)


def test_a_state_with_a_finished_reader_is_refused(own: Settings, tick: Tick) -> None:
    poisoned = job_states.newest_state(own)
    assert poisoned is not None
    with pytest.raises(JobError, match="wire_raw") as refusal:
        job.resume(own)
    assert str(poisoned) in refusal.value.message
    assert flink_rest.running_job(own, job.NAME) is None
    assert "`tick job submit --fresh`" in refusal.value.hint
    sound = refusal.value.hint.split("`tick job resume --state ")[1].split("`")[0]
    assert Path(sound) != poisoned and Path(sound).parent == paths.savepoints(own)
    assert tick("job", "resume", "--alone", "--state", sound).exit_code == 0
    before = dead_letters(own)
    send_malformed(own, 4)
    eventually(lambda: dead_letters(own) >= before + 4, "dead letters of the resumed job")
    eventually(lambda: tick("job", "status").exit_code == 0, "exit code 0 of the resumed job")


def test_a_taskmanager_that_is_gone_is_waited_for(own: Settings, tick: Tick) -> None:
    """If requests for slots failed immediately, RESTARTS_MAX would be used up in seconds."""
    assert config_of_jobmanager(own)["resourcemanager.standalone.start-up-time"] == "0 s"
    record = ProcessRecord.from_file(paths.run(own) / "taskmanager.json")
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    eventually(
        lambda: flink_rest.call(own, "/overview")["taskmanagers"] == 0,
        "the loss of the TaskManager",
    )
    eventually(lambda: tick("job", "status").exit_code == 1, "exit code 1 without a TaskManager")
    platform.up(own, SERVICES)
    eventually(lambda: tick("job", "status").exit_code == 0, "a job that runs again")


def config_of_jobmanager(settings: Settings) -> dict[str, str]:
    with urllib.request.urlopen(f"{settings.flink_url}/jobmanager/config", timeout=10) as answer:
        return {option["key"]: option["value"] for option in json.load(answer)}


def test_a_job_that_always_fails_ends_after_its_restarts(own: Settings) -> None:
    program = Program(
        "failing",
        "stream",
        (COUNTING, NOWHERE),
        (),
        ("INSERT INTO nowhere SELECT 1 / (n - n) FROM counting",),
        1,
    )
    job_id = submit(own, program)
    with pytest.raises(JobError, match="ended FAILED"):
        flink_rest.wait(own, job_id, 120)
    causes = [failure.cause for failure in flink_rest.failures(own, job_id, 16)]
    assert len(causes) == RESTARTS_MAX + 1
    assert all("/ by zero" in cause for cause in causes)
