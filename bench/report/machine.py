"""The machine on which the figures were measured, and its load."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores available to this process, processor model, memory in GiB, kernel and Python."""

    cores: int
    model: str
    memory_gib: float
    system: str
    python: str


def describe() -> Machine:
    """The machine on which this process runs."""
    memory_gib = round(psutil.virtual_memory().total / 2**30, 1)
    system = f"{platform.system()} {platform.release()}"
    return Machine(
        len(os.sched_getaffinity(0)), _model(), memory_gib, system, platform.python_version()
    )


def _model() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def load_average() -> float:
    """Load average of the last minute: processes running or waiting to run."""
    return round(os.getloadavg()[0], 2)
