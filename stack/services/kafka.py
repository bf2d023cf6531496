"""Kafka: one KRaft node (broker and controller) on the host of the settings."""

import base64
import os
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException

from contracts.config import connections, paths
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.home import HomeSettings
from contracts.errors import ServiceError
from contracts.topics import DAY_MS, TOPICS
from stack import jars, secrets
from stack.process.ports import ALL_INTERFACES, accepts_connections
from stack.process.service import Service
from stack.services.kafka_topics import (
    BATCH_BYTES_MAX,
    PROBE_TIMEOUT_S,
    admin_client,
    set_up_topics,
)

# A job that is down for longer than its transaction timeout loses its pre-committed records.
TRANSACTION_MS_MAX = 86_400_000
# Offsets of a stopped group are kept for longer than any topic keeps messages (Kafka's default
# is a week): a reader whose offset is gone cannot report what it has missed.
OFFSETS_RETENTION_MIN = (max(topic.retention_ms for topic in TOPICS) + 7 * DAY_MS) // 60_000

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
offsets.retention.minutes={offsets_retention_min}
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""

LOGIN_PROPERTIES = """\
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


def service(settings: KafkaSettings) -> Service:
    """The broker; its data folder is formatted before the first start."""
    return Service(
        name="kafka",
        version=jars.version_of("kafka"),
        command=_java_command(settings, "kafka.Kafka", str(_properties_file(settings))),
        ready=lambda: is_responding(settings),
        home=settings.root,
        ports={settings.kafka_port: "TICK_KAFKA_PORT", settings.kafka_port + 1: "TICK_KAFKA_PORT"},
        memory_mb=settings.kafka_heap_mb,
        prepare=lambda: prepare(settings),
        after_ready=lambda: set_up_topics(settings),
    )


def _properties_file(settings: HomeSettings) -> Path:
    return paths.kafka_home(settings) / "server.properties"


def _data_folder(settings: HomeSettings) -> Path:
    return paths.kafka_home(settings) / "data"


def _java_command(settings: KafkaSettings, *arguments: str) -> tuple[str, ...]:
    cache = paths.jars(settings)
    home = paths.kafka_home(settings)
    return (
        str(paths.java()),
        f"-Xmx{settings.kafka_heap_mb}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={home}/hs_err_%p.log",
        f"-Dlog4j2.configurationFile=file:{home}/log4j2.properties",
        "-cp",
        os.pathsep.join(str(cache / jar.file) for jar in jars.locked("kafka")),
        *arguments,
    )


def prepare(settings: KafkaSettings) -> None:
    """Write the configuration and, the first time, format the data folder. Raises ServiceError."""
    paths.kafka_home(settings).mkdir(parents=True, exist_ok=True)
    (paths.kafka_home(settings) / "log4j2.properties").write_text(LOG4J)
    properties = PROPERTIES.format(
        host=settings.host,
        # Only the broker connects to its controller.
        inside="127.0.0.1" if settings.host in ALL_INTERFACES else settings.host,
        advertised=settings.kafka,
        protocol=settings.kafka_protocol,
        port=settings.kafka_port,
        controller=settings.kafka_port + 1,
        data=_data_folder(settings),
        batch_bytes_max=BATCH_BYTES_MAX,
        transaction_ms_max=TRANSACTION_MS_MAX,
        offsets_retention_min=OFFSETS_RETENTION_MIN,
    )
    secrets.write_private(_properties_file(settings), properties + _login_properties(settings))
    if not (_data_folder(settings) / "meta.properties").exists():
        _format_data_folder(settings)


def _login_properties(settings: KafkaSettings) -> str:
    """How clients log in to the local broker: SASL/PLAIN with the user of the settings, who is also
    the user of the broker itself.
    """
    if settings.kafka_protocol == "PLAINTEXT":
        return ""
    if (settings.kafka_protocol, settings.kafka_mechanism) != ("SASL_PLAINTEXT", "PLAIN"):
        raise ServiceError(
            f"the local Kafka does not support {settings.kafka_protocol} with"
            f" {settings.kafka_mechanism}",
            "use PLAINTEXT, or SASL_PLAINTEXT with PLAIN; for certificates set"
            " TICK_KAFKA_SERVERS to another Kafka",
        )
    user, password = connections.login(settings)
    jaas = connections.jaas("PLAIN", user, password, f"user_{user}")
    return LOGIN_PROPERTIES.format(login=jaas.replace("\\", "\\\\"))


def _format_data_folder(settings: KafkaSettings) -> None:
    random_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    cluster_id = random_id.replace("-", "_")  # an id must not start with a dash
    format_command = ("format", "-t", cluster_id, "-c", str(_properties_file(settings)))
    process = subprocess.run(
        _java_command(settings, "kafka.tools.StorageTool", *format_command),
        capture_output=True,
        text=True,
        timeout=settings.start_timeout_s,
        check=False,
    )
    if process.returncode:
        raise ServiceError(
            "Kafka's data folder cannot be formatted:"
            f" {process.stderr.strip() or process.stdout.strip()}",
            f"see {_data_folder(settings)}",
        )


def is_responding(settings: KafkaSettings) -> bool:
    """Whether the broker responds to a metadata request."""
    if settings.kafka_servers is None and not accepts_connections(
        settings.host, settings.kafka_port
    ):
        return False
    try:
        return bool(admin_client(settings).list_topics(timeout=PROBE_TIMEOUT_S).brokers)
    except KafkaException:
        return False
