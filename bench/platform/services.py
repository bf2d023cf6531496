"""A platform for one bench: free ports, temporary home, stopped by PID even after a failure."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, TopicPartition

from bench.errors import BenchError
from contracts.config import connections, paths
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.settings import Settings
from contracts.config.settings import settings as own_settings
from contracts.topics import Topic
from stack import platform

POLL_S = 0.2
OFFSETS_TIMEOUT_S = 10.0
# Consecutive ports per service, below the system's ephemeral ports for outgoing connections.
PORT_BLOCKS = {"kafka_port": 2, "flink_port": 3, "redis_port": 1, "api_port": 1, "mlflow_port": 1}
PORTS = range(10_000, 32_000)


@contextmanager
def run_services(names: Iterable[str], **overrides: Any) -> Iterator[Settings]:
    """Start these services and stop them at the end; jars come from the user's cache.

    Raises ServiceError if a service does not start.
    """
    cache = paths.jars(own_settings())
    with tempfile.TemporaryDirectory(prefix="tick-bench-") as home:
        settings = Settings(**{"home": Path(home), "cache": cache, **free_ports(), **overrides})
        try:
            platform.up(settings, tuple(names))
            yield settings
        finally:
            platform.down(settings)


def free_ports() -> dict[str, int]:
    """A free block of consecutive ports per service; the PID decides where the search starts."""
    at = PORTS.start + os.getpid() * 41 % len(PORTS)
    ports: dict[str, int] = {}
    for setting, count in PORT_BLOCKS.items():
        while not all(_is_free(at + offset) for offset in range(count)):
            at = at + 1 if at + 2 * count < PORTS.stop else PORTS.start
        ports[setting], at = at, at + count
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def process(settings: Settings, name: str) -> psutil.Process:
    """The running process of a service. Raises BenchError if it has died."""
    service = platform.find_service(settings, name)
    running_process = service.process()
    if running_process is None:
        raise BenchError(f"{name} is not running", f"see {service.log}")
    return running_process


def wait(done: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Poll until `done`. Raises BenchError naming `what` was missing after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise BenchError(
                f"waited {timeout_s:.0f} s in vain: {what}",
                "the machine may be too busy; run the bench alone",
            )
        time.sleep(POLL_S)


def end_offsets(settings: KafkaSettings, topic: Topic) -> list[int]:
    """The next offset of every partition of a topic."""
    consumer = Consumer({**connections.kafka(settings), "group.id": "bench", "log_level": 0})
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        return [
            int(consumer.get_watermark_offsets(partition, timeout=OFFSETS_TIMEOUT_S)[1])
            for partition in partitions
        ]
    finally:
        consumer.close()
