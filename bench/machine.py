"""The machine and CPU times, which other processes affect less than wall time."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.figures import BenchError

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


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of all threads of a process since its start. Raises BenchError if it died."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess as error:
        raise BenchError(
            f"process {process.pid} died while it was measured", "see its log; run the bench again"
        ) from error
    return float(times.user + times.system)


@dataclass
class JvmSpent:
    """CPU seconds of a JVM without its JIT compiler, and of its JIT compiler."""

    cpu_s: float = 0.0
    jit_s: float = 0.0


@contextmanager
def jvm_spent(jvm: psutil.Process) -> Iterator[JvmSpent]:
    """Measure a JVM during the `with` block; the result is set when the block ends.

    Raises BenchError if the JVM has died.
    """
    cost, cpu, jit = JvmSpent(), cpu_s(jvm), jit_s(jvm)
    yield cost
    cost.jit_s = jit_s(jvm) - jit
    cost.cpu_s = cpu_s(jvm) - cpu - cost.jit_s


def jit_s(jvm: psutil.Process) -> float:
    """CPU seconds of a JVM's compiler threads, which work for minutes and are then almost idle.

    Misses the time of compiler threads that the JVM has ended, which happens from four cores on,
    where it has more than one of a kind. Raises BenchError if the JVM has died.
    """
    try:
        return float(
            sum(
                each.user_time + each.system_time
                for each in jvm.threads()
                if _is_compiler(jvm.pid, each.id)
            )
        )
    except psutil.NoSuchProcess as error:
        raise BenchError(
            f"process {jvm.pid} died while it was measured", "see its log; run the bench again"
        ) from error


def _is_compiler(pid: int, thread: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/task/{thread}/comm")
            .read_text()
            .startswith(("C1 Compiler", "C2 Compiler"))
        )
    except OSError:  # the thread has ended
        return False


@dataclass
class Spent:
    """Cost of a block of code: CPU seconds of this process (all threads), and wall seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def spent() -> Iterator[Spent]:
    """Measure the `with` block; the result is set when the block ends."""
    cost, cpu, wall = Spent(), time.process_time(), time.perf_counter()
    yield cost
    cost.cpu_s = time.process_time() - cpu
    cost.wall_s = time.perf_counter() - wall
