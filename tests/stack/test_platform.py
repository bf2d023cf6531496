"""The life of a whole platform, with real services: up, up again, kill -9, restart, down, nothing
left.

A separate platform, because killing services of the shared one would break other tests. The tests
run in this order.
"""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest
from confluent_kafka import Consumer, Producer

from contracts.config import connections, paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.topics import DEAD_LETTER, TICKS, TOPICS
from stack import platform
from stack.process.pids import ProcessRecord
from stack.services import flink, kafka_topics, project_services
from tests.conftest import settings_in

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = settings_in(
        tmp_path_factory.mktemp("own"), flink_taskmanager_mb=1280, flink_jobmanager_mb=768
    )
    try:
        yield settings
    finally:
        platform.down(settings)


def _records(settings: Settings) -> dict[str, ProcessRecord | None]:
    return {
        name: ProcessRecord.from_file(paths.run(settings) / f"{name}.json")
        for name in platform.PLATFORM
    }


def _states(settings: Settings) -> dict[str, str]:
    return {row.name: row.state for row in platform.status(settings, time.time())}


def _kill(settings: Settings, name: str) -> None:
    record = _records(settings)[name]
    os.kill(record.pid, signal.SIGKILL)
    while record.process() is not None:
        time.sleep(0.05)


def test_nothing_runs_before(own):
    assert set(_states(own).values()) == {"off"}
    assert platform.down(own) == []


def test_a_taken_port_stops_up_before_anything_else_starts(own):
    import socket

    with (
        socket.create_server((own.host, own.kafka_port)),
        pytest.raises(ServiceError, match=f"port {own.kafka_port}"),
    ):
        platform.up(own)
    assert set(_states(own).values()) == {"off"}


def test_up_makes_everything_ready(own):
    steps: list[tuple[str, int, int]] = []
    platform.up(own, progress=lambda *step: steps.append(step))
    assert _states(own) == dict.fromkeys(platform.PLATFORM, "ready")
    assert steps[-1] == ("start services", 4, 4)
    assert flink.fetch_overview(own)["slots-total"] == own.flink_slots


def test_topics_are_as_the_contract_says(own):
    from confluent_kafka.admin import ConfigResource, ResourceType

    client = kafka_topics.admin_client(own)
    topics = client.list_topics(timeout=10).topics
    partitions = {
        name: len(topic.partitions) for name, topic in topics.items() if not name.startswith("__")
    }
    assert {topic.name: topic.partitions for topic in TOPICS} == partitions
    for topic in TOPICS:
        resource = ConfigResource(ResourceType.TOPIC, topic.name)
        config = client.describe_configs([resource])[resource].result()
        assert config["retention.ms"].value == str(topic.retention_ms)
        assert config["message.timestamp.type"].value == "LogAppendTime"
    assert kafka_topics.create_topics(own) == []


def test_a_second_up_is_a_no_op(own):
    before = _records(own)
    platform.up(own)
    assert _records(own) == before


def test_only_loopback_listens(own):
    listening = [
        connection.laddr.ip
        for record in _records(own).values()
        for process in record.members()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 6
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_the_recorded_pid_is_the_service_itself(own):
    names = {name: record.process().name() for name, record in _records(own).items()}
    assert names == {
        "kafka": "java",
        "redis": "redis-server",
        "jobmanager": "java",
        "taskmanager": "java",
    }


def test_a_killed_broker_is_restarted_with_its_messages(own):
    producer = Producer({**connections.kafka(own), "acks": "all"})
    producer.produce(DEAD_LETTER.name, b"kept")
    assert producer.flush(20) == 0
    before = _records(own)
    _kill(own, "kafka")
    assert _states(own) == {**dict.fromkeys(platform.PLATFORM, "ready"), "kafka": "died"}
    platform.up(own)
    assert _states(own) == dict.fromkeys(platform.PLATFORM, "ready")
    after = _records(own)
    assert [name for name in platform.PLATFORM if after[name] != before[name]] == ["kafka"]
    assert _first(own, DEAD_LETTER.name) == b"kept"


def _first(settings: Settings, topic: str) -> bytes | None:
    options = {
        **connections.kafka(settings),
        "group.id": "look",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer(options)
    try:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        return message.value() if message is not None else None
    finally:
        consumer.close()


def test_killed_redis_and_taskmanager_come_back(own):
    _kill(own, "redis")
    _kill(own, "taskmanager")
    platform.up(own)
    assert _states(own) == dict.fromkeys(platform.PLATFORM, "ready")
    assert all(_records(own).values())


def test_a_new_taskmanager_is_ready_only_when_it_is_registered_itself(own):
    """The JobManager lists a killed TaskManager until its heartbeat times out: the new one is not
    ready because of it.
    """
    _kill(own, "taskmanager")
    assert flink.fetch_overview(own)["taskmanagers"] >= 1
    service = platform.find_service(own, "taskmanager")
    assert not service.ready()
    platform.up(own)
    assert service.ready()


def test_a_service_that_cannot_start_shows_why(own):
    platform.down(own, ["redis"])
    config = own.model_copy(update={"redis_memory_mb": -1})
    with pytest.raises(ServiceError, match="redis died while starting"):
        platform.up(config, ["redis"])
    platform.up(own, ["redis"])


def test_down_leaves_nothing_behind(own):
    records = _records(own)
    ports = {port for name in platform.PLATFORM for port in platform.find_service(own, name).ports}
    assert set(platform.down(own)) == set(platform.PLATFORM)
    assert all(record.members() == [] for record in records.values())
    assert not ports & {
        connection.laddr.port
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert [file.name for file in paths.run(own).iterdir()] == ["lock"]
    assert set(_states(own).values()) == {"off"}


def test_everything_stays_below_home(own):
    assert (paths.kafka_home(own) / "data" / f"{TICKS.name}-0").is_dir()
    assert {folder.name for folder in own.root.iterdir()} == {
        "flink",
        "kafka",
        "logs",
        "redis",
        "run",
        "secrets.env",
    }


def test_an_unknown_service_is_named(free_settings):
    with pytest.raises(ServiceError, match="unknown service 'spark'") as caught:
        platform.find_service(free_settings, "spark")
    assert "kafka" in caught.value.hint


def test_children_read_the_same_settings(make_settings, monkeypatch):
    """Settings made in code reach the processes that are started with them, without the API key."""
    settings = make_settings(fresh_s=12.5, model_name="name with ä", api_key="not for everyone")
    env = project_services.settings_env(settings)
    assert "not for everyone" not in env.values()
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert Settings(api_key="not for everyone") == settings
