"""Kafka: one KRaft node (broker and controller) on the host of the settings, and the topics of
contracts.topics.
"""

import base64
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic, TopicMetadata

from contracts.config import connections, paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.topics import TOPICS, Topic
from stack import jars, secrets
from stack.process.ports import EVERYWHERE, answers
from stack.process.service import Service

# Kafka limits compressed batches, not messages: this takes the largest batch of a librdkafka sender
# (batch.size 1,000,000), whose ticks a smaller limit would refuse together. The live job itself
# judges how long a message may be (contracts.tick.MESSAGE_BYTES_MAX).
BATCH_BYTES_MAX = 2**20
TRANSACTION_MS_MAX = (
    86_400_000  # a job down for longer than its transaction's time-out loses what it pre-committed
)
ADMIN_TIMEOUT_S = 15
PROBE_TIMEOUT_S = 2
POLL_S = 0.1
PROBE_TRANSACTION = "lakehouse-tick-up"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{inside}:{controller}
listeners=CLIENT://{host}:{port},CONTROLLER://{inside}:{controller}
advertised.listeners=CLIENT://{advertised}
listener.security.protocol.map=CLIENT:{protocol},CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
num.partitions=4
message.max.bytes={batch_bytes_max}
transaction.max.timeout.ms={transaction_ms_max}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""

LOGIN = """\
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config={login}
"""

LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
logger.kafka.name = kafka.server.KafkaRaftServer
logger.kafka.level = INFO
appender.console.name = console
appender.console.type = Console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""


def service(settings: Settings) -> Service:
    """The broker. Its data folder is formatted once, before the first start."""
    return Service(
        name="kafka",
        version=jars.version_of("kafka"),
        command=_java(settings, "kafka.Kafka", str(_properties(settings))),
        ready=lambda: ready(settings),
        home=settings.root,
        ports={settings.kafka_port: "TICK_KAFKA_PORT", settings.kafka_port + 1: "TICK_KAFKA_PORT"},
        memory_mb=settings.kafka_heap_mb,
        prepare=lambda: prepare(settings),
        after_ready=lambda: settle(settings),
    )


def _properties(settings: Settings) -> Path:
    return paths.kafka_home(settings) / "server.properties"


def _data(settings: Settings) -> Path:
    return paths.kafka_home(settings) / "data"


def _java(settings: Settings, *arguments: str) -> tuple[str, ...]:
    cache, home = paths.jars(settings), paths.kafka_home(settings)
    class_path = os.pathsep.join(str(cache / jar.file) for jar in jars.locked("kafka"))
    options = (
        f"-Xmx{settings.kafka_heap_mb}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={home}/hs_err_%p.log",
    )
    return (
        str(paths.java()),
        *options,
        f"-Dlog4j2.configurationFile=file:{home}/log4j2.properties",
        "-cp",
        class_path,
        *arguments,
    )


def prepare(settings: Settings) -> None:
    """Write the configuration and format the data folder unless it is formatted. Raises
    ServiceError.
    """
    paths.kafka_home(settings).mkdir(parents=True, exist_ok=True)
    (paths.kafka_home(settings) / "log4j2.properties").write_text(LOG4J)
    secrets.write_private(
        _properties(settings),
        PROPERTIES.format(
            host=settings.host,
            inside=(
                "127.0.0.1" if settings.host in EVERYWHERE else settings.host
            ),  # only the broker talks to its controller
            advertised=settings.kafka,
            protocol=settings.kafka_protocol,
            port=settings.kafka_port,
            controller=settings.kafka_port + 1,
            data=_data(settings),
            batch_bytes_max=BATCH_BYTES_MAX,
            transaction_ms_max=TRANSACTION_MS_MAX,
        )
        + _login(settings),
    )
    if not (_data(settings) / "meta.properties").exists():
        _format(settings)


def _login(settings: Settings) -> str:
    """How clients log in to the broker that we run: SASL/PLAIN with the one user of the settings,
    who is the broker's own, too.
    """
    if settings.kafka_protocol == "PLAINTEXT":
        return ""
    if (settings.kafka_protocol, settings.kafka_mechanism) != ("SASL_PLAINTEXT", "PLAIN"):
        message = (
            f"the local Kafka cannot be {settings.kafka_protocol} with {settings.kafka_mechanism}"
        )
        raise ServiceError(
            message,
            "it knows PLAINTEXT, and SASL_PLAINTEXT with PLAIN; certificates need a Kafka of"
            " your own",
        )
    known = connections.login(settings)
    return LOGIN.format(
        login=connections.jaas("PLAIN", *known, f"user_{known[0]}").replace("\\", "\\\\")
    )


def _format(settings: Settings) -> None:
    cluster_id = (
        base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "_")
    )  # none may start with a dash
    command = _java(
        settings,
        "kafka.tools.StorageTool",
        "format",
        "-t",
        cluster_id,
        "-c",
        str(_properties(settings)),
    )
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=settings.start_timeout_s, check=False
    )
    if done.returncode:
        raise ServiceError(
            "Kafka's data folder cannot be formatted:"
            f" {done.stderr.strip() or done.stdout.strip()}",
            f"look at {_data(settings)}",
        )


def _quiet(settings: Settings) -> dict[str, Any]:
    """A client's configuration that keeps librdkafka's own messages off the screen."""
    return {**connections.kafka(settings), "log_level": 0, "error_cb": lambda _error: None}


def admin(settings: Settings) -> AdminClient:
    """An admin client that says nothing by itself."""
    return AdminClient(_quiet(settings))


def ready(settings: Settings) -> bool:
    """Whether the broker answers a metadata request."""
    if settings.kafka_servers is None and not answers(settings.host, settings.kafka_port):
        return False
    try:
        return bool(admin(settings).list_topics(timeout=PROBE_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def settle(settings: Settings) -> None:
    """1. topics  2. a leader for every partition  3. producer ids and transactions can be had.
    Raises ServiceError.

    A broker answers seconds before the last two are true; a producer that comes too early logs
    `Coordinator load in progress`.
    """
    create_topics(settings)
    await_leaders(settings)
    try:
        Producer(_quiet(settings) | {"transactional.id": PROBE_TRANSACTION}).init_transactions(
            settings.start_timeout_s
        )
    except KafkaException as error:
        raise ServiceError(
            f"Kafka gives no transactions: {error}", "see `tick logs kafka`"
        ) from error


def await_leaders(settings: Settings) -> None:
    """Wait until every partition of our topics has a leader. Raises ServiceError after
    start_timeout_s.
    """
    client, deadline = admin(settings), time.monotonic() + settings.start_timeout_s
    while lacking := _leaderless(client):
        if time.monotonic() > deadline:
            raise ServiceError(
                f"Kafka has no leader for {', '.join(lacking)}", "see `tick logs kafka`"
            )
        time.sleep(POLL_S)


def _leaderless(client: AdminClient) -> list[str]:
    """Our topics that are not whole yet; all of them while the broker does not answer."""
    try:
        known = client.list_topics(timeout=PROBE_TIMEOUT_S).topics
    except KafkaException:
        known = {}
    return [
        topic.name for topic in TOPICS if topic.name not in known or not _led(known[topic.name])
    ]


def _led(topic: TopicMetadata) -> bool:
    return bool(topic.partitions) and all(
        partition.leader >= 0 for partition in topic.partitions.values()
    )


def create_topics(settings: Settings, topics: tuple[Topic, ...] = TOPICS) -> list[str]:
    """Create the topics that do not exist yet; returns their names. Raises ServiceError."""
    client = admin(settings)
    try:
        existing = client.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        wanted = [
            _new(topic, settings.kafka_replicas) for topic in topics if topic.name not in existing
        ]
        if wanted:
            for created in client.create_topics(wanted, operation_timeout=ADMIN_TIMEOUT_S).values():
                created.result()
    except KafkaException as error:
        raise ServiceError(
            f"Kafka refused to create the topics: {error}", "see `tick logs kafka`"
        ) from error
    return [topic.topic for topic in wanted]


def _new(topic: Topic, replicas: int) -> NewTopic:
    kind = "LogAppendTime" if topic.log_append_time else "CreateTime"
    limits = {"retention.ms": str(topic.retention_ms), "max.message.bytes": str(BATCH_BYTES_MAX)}
    config = limits | {"message.timestamp.type": kind}
    return NewTopic(
        topic.name, num_partitions=topic.partitions, replication_factor=replicas, config=config
    )
