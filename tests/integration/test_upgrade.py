"""`tick job upgrade` on a running platform: a wrong program is refused, a right one replaces the
job, a failing one gives way to the old; every tick is in silver once.
"""

import subprocess
import sys
import threading
from dataclasses import replace
from itertools import count

import pytest
from confluent_kafka import Producer
from pyiceberg.expressions import EqualTo

from contracts.clock import now_us
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.errors import JobError
from contracts.messages.encoding import encode
from contracts.tick import Tick
from contracts.topics import TICKS
from feature_store.flink import rest as flink_rest
from lakehouse.schemas import GOLD_LIVE, SILVER
from lakehouse.tables import Lakehouse
from stack.services.project_services import settings_env
from streaming.job import job
from streaming.upgrade import shadow, stretch, upgrade
from streaming.upgrade.comparison import Result
from tests.integration.conftest import eventually, send_heartbeat
from tests.support import added_feature

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]
VENUE, SYMBOLS = "UPGRADE", 6
AVG_SIZE = 'Feature("avg_size", "{v} / {n}"'
PEAK = '    Feature("peak_share", "{v_max} / {v}", "1", 1e-3, "{v} = 0", windows_s=(10, 60)),\n'
NEW, NEW_COLUMN = added_feature.added(added_feature.AGGREGATE, PEAK), "peak_share_10s"
WRONG = {AVG_SIZE: 'Feature("avg_size", "{v} / {n} * 1.001"'}


class Feed(threading.Thread):
    """Sends ticks and heartbeats at the present time until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({**connections.kafka(settings), "enable.idempotence": True})
        self._ended = threading.Event()
        self.sent: list[str] = []

    def run(self) -> None:
        for number in count():
            if self._ended.wait(0.1):
                return
            at, name = now_us(), f"U{number % SYMBOLS}USD"
            tick = Tick(VENUE, name, at, at, 10.0 + number % 7, 1.0, 1, f"u{number}", number)
            self._producer.produce(TICKS.name, encode(tick), key=tick.key)
            self.sent.append(tick.trade_id)
            send_heartbeat(self._producer, at)
            self._producer.poll(0)

    def stop(self) -> None:
        self._ended.set()
        self.join(10)
        assert self._producer.flush(30) == 0


@pytest.fixture(scope="module")
def feed(warmed):
    sending = Feed(warmed[0])
    sending.start()
    yield sending
    sending.stop()


@pytest.fixture
def settings(warmed) -> Settings:
    return warmed[0]


def run_upgrade(settings, folder, replacements, *words) -> subprocess.CompletedProcess[str]:
    """`tick job upgrade` with edited feature definitions."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "cli.main", "job", "upgrade", "--alone", *words],
        cwd=folder,
        env=added_feature.edited(folder, replacements) | settings_env(settings),
        capture_output=True,
        text=True,
        timeout=600,
    )


def stored_ids(settings: Settings) -> list[str]:
    silver = Lakehouse(settings).table(SILVER)
    rows = silver.scan(row_filter=EqualTo("venue", VENUE), selected_fields=("trade_id",))
    return [str(name) for name in rows.to_arrow()["trade_id"].to_pylist()]


def assert_each_tick_is_stored_once(settings: Settings, feed: Feed) -> None:
    until = len(feed.sent)
    wanted = set(feed.sent[:until])
    eventually(lambda: wanted <= set(stored_ids(settings)), "every tick in silver")
    stored = stored_ids(settings)
    assert len(stored) == len(set(stored))


def has_new_values(settings: Settings, since_us: int) -> bool:
    live = Lakehouse(settings).table(GOLD_LIVE)
    fields = ("symbol", "event_time", NEW_COLUMN)
    rows = live.scan(row_filter=EqualTo("view", "tick_1s"), selected_fields=fields).to_arrow()
    times = rows["event_time"].cast("int64").to_pylist()
    values = rows[NEW_COLUMN].to_pylist()
    return any(at > since_us and v is not None for at, v in zip(times, values, strict=True))


def assert_no_shadow_is_left(settings: Settings) -> None:
    assert flink_rest.running_job(settings, shadow.NAME) is None
    consumer_topics = Producer(connections.kafka(settings)).list_topics(timeout=10).topics
    assert [name for name in consumer_topics if shadow.INFIX in name] == []


def test_a_program_with_other_values_is_refused_and_the_old_job_runs_on(settings, feed, tmp_path):
    before = flink_rest.running_job(settings, job.NAME)
    done = run_upgrade(settings, tmp_path, WRONG, "--stretch", "15")
    assert done.returncode == 3, done.stdout[-3000:] + done.stderr[-3000:]
    assert "refused" in done.stdout and "avg_size_10s" in done.stdout
    assert flink_rest.running_job(settings, job.NAME) == before
    assert_no_shadow_is_left(settings)


def test_a_program_with_a_new_feature_replaces_the_job(settings, feed, tmp_path):
    before = flink_rest.running_job(settings, job.NAME)
    done = run_upgrade(settings, tmp_path, NEW, "--stretch", "20")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    print(done.stdout)
    assert "upgraded" in done.stdout and f"added: {NEW_COLUMN}" in done.stdout
    assert flink_rest.running_job(settings, job.NAME) not in (None, before)
    assert_no_shadow_is_left(settings)
    assert_each_tick_is_stored_once(settings, feed)
    eventually(lambda: has_new_values(settings, 0), "values of the new column")


def test_a_program_that_does_not_start_gives_way_to_the_old_one(settings, feed, monkeypatch):
    """The new job cannot open its sink for dead letters; the old SQL continues its savepoint."""
    fragile = settings.model_copy(update={"restarts_max": 1})
    program = job.program(fragile)
    broken = tuple(
        ddl.replace("WITH (", "WITH ('properties.acks'='nonsense', ", 1)
        if ddl.startswith("CREATE TABLE dead_letter")
        else ddl
        for ddl in program.ddl
    )
    assert broken != program.ddl
    passed = Result(0, 1)
    passed.rows["tick_1s"].compared = 1
    monkeypatch.setattr(job, "program", lambda *_: replace(program, ddl=broken))
    monkeypatch.setattr(stretch.Stretch, "compare", lambda *_: passed)
    with pytest.raises(JobError, match="the old program runs as"):
        upgrade.upgrade(fragile, now_us())
    since_us = now_us()
    assert_each_tick_is_stored_once(settings, feed)
    eventually(lambda: has_new_values(settings, since_us), "rows of the old program")
    feed.stop()
    assert_each_tick_is_stored_once(settings, feed)
