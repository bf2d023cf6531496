"""Shared fixtures: a real platform on free ports, and settings for one that is not started."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import prometheus_client  # noqa: F401 - before Feast, which would make it store metrics in files
import pytest

from contracts.config.settings import Settings
from stack.process.pids import ProcessRecord

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

OWNER = "owner.json"  # which test run a platform belongs to
# The shared platform requires logins, with quotes, spaces and backslashes in the passwords; the
# platforms of single tests require none.
SECURED = {
    "kafka_protocol": "SASL_PLAINTEXT",
    "kafka_mechanism": "PLAIN",
    "kafka_user": "tick",
    "kafka_password": 'it\'s "secret" \\ here',
    "redis_password": "it's {secret} # here: too",
}
REPO = Path(__file__).parents[1]
# Consecutive ports per service: Kafka and its controller; Flink's REST, RPC and blob server.
PORT_BLOCKS = {
    "kafka_port": 2,
    "flink_port": 3,
    "redis_port": 1,
    "api_port": 1,
    "mlflow_port": 1,
    "postgres_port": 1,
    "airflow_port": 1,
}
# Below the range from which the system takes ports for outgoing connections (32768 on Linux), which
# could take ours.
PORT_RANGE = range(10_000, 32_000)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports() -> dict[str, int]:
    """A free block of consecutive ports per service; where the search starts depends on the
    process.
    """
    at = PORT_RANGE.start + os.getpid() * 37 % len(PORT_RANGE)
    ports: dict[str, int] = {}
    for setting, count in PORT_BLOCKS.items():
        while not all(_is_free(at + offset) for offset in range(count)):
            at = at + 1 if at + 2 * count < PORT_RANGE.stop else PORT_RANGE.start
        ports[setting], at = at, at + count
    return ports


def settings_in(home: Path, **overrides: Any) -> Settings:
    """Settings on free ports with their state below `home` and a small TaskManager; jars come from
    the shared cache.
    """
    cache = Path(os.environ.get("TICK_CACHE", REPO / ".tick" / "jars"))
    small = {
        "flink_taskmanager_mb": 2048,
        "flink_jobmanager_mb": 896,
        "redis_memory_mb": 256,
        "checkpoint_interval_s": 1.0,
    }
    return Settings(**{"home": home, "cache": cache, **small, **free_ports(), **overrides})


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Remove environment variables that libraries set: MLflow its URI, Feast a folder for the
    metrics of all processes.
    """
    forget_environment()
    yield
    forget_environment()


def forget_environment() -> None:
    for name in ("MLFLOW_TRACKING_URI", "PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
        os.environ.pop(name, None)


@pytest.fixture
def free_settings(tmp_path: Path) -> Settings:
    """Settings of a platform that no one started."""
    return settings_in(tmp_path / "tick")


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Like `free_settings`, with fields of the caller's choice."""
    return lambda home=tmp_path / "tick", **overrides: settings_in(home, **overrides)


def end_abandoned(runs: Path) -> None:
    """End platforms of earlier runs that were killed before they could: those whose owner no longer
    lives.
    """
    from stack import platform as stack_platform

    for owner in runs.glob(f"*/platform*/{OWNER}"):
        record = ProcessRecord.from_file(owner)
        if record is not None and record.process() is None:
            stack_platform.down(Settings(home=owner.parent))


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Kafka, Redis and Flink, started once for the whole run and stopped by PID at its end, also
    after a failure.
    """
    from stack import platform as stack_platform

    end_abandoned(tmp_path_factory.getbasetemp().parent)
    settings = settings_in(
        tmp_path_factory.mktemp("platform"), parallelism=2, **SECURED
    )  # two of each task: their results must agree
    ProcessRecord.from_pid(os.getpid()).write(settings.root / OWNER)
    try:
        stack_platform.up(settings)
        yield settings
    finally:
        stack_platform.down(settings)


@pytest.fixture(scope="session")
def mlflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TICK_HOME with an MLflow database, created once: its migrations take many seconds.

    Tests use their own model names.
    """
    return tmp_path_factory.mktemp("mlflow")
