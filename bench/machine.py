"""What the numbers were measured on: processor, load, and the CPU time of processes, which a busy
neighbour does not stretch.
"""

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
    """Cores as this process sees them, processor model, memory in GiB, kernel and Python."""

    cores: int
    model: str
    memory_gib: float
    system: str
    python: str


def describe() -> Machine:
    """This machine."""
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


def load() -> float:
    """Load average of the last minute: processes that run or wait to run."""
    return round(os.getloadavg()[0], 2)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds a process has used since it started, all its threads. Raises BenchError when it
    is gone.
    """
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess as error:
        raise BenchError(
            f"process {process.pid} died while it was measured", "see its log; run the bench again"
        ) from error
    return float(times.user + times.system)


@dataclass
class JvmSpent:
    """CPU seconds of a JVM but for its compiler, and those of its compiler."""

    cpu_s: float = 0.0
    jit_s: float = 0.0


@contextmanager
def jvm_spent(jvm: psutil.Process) -> Iterator[JvmSpent]:
    """Measures a JVM during the block inside; the answer stands when it has ended. Raises
    BenchError when the JVM is gone.
    """
    taken, cpu, jit = JvmSpent(), cpu_s(jvm), jit_s(jvm)
    yield taken
    taken.jit_s = jit_s(jvm) - jit
    taken.cpu_s = cpu_s(jvm) - cpu - taken.jit_s


def jit_s(jvm: psutil.Process) -> float:
    """CPU seconds that a JVM's compiler threads have used: they work for minutes, then hardly.
    Raises BenchError when it is gone.

    What compiler threads did that the JVM has ended since is lost: it has more than one of a kind
    from four cores on.
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
    except OSError:  # no such thread any more
        return False


@dataclass
class Spent:
    """What a stretch of work took: CPU seconds of this process (all threads), and wall seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def spent() -> Iterator[Spent]:
    """Measures the block inside; the answer stands when it has ended."""
    taken, cpu, wall = Spent(), time.process_time(), time.perf_counter()
    yield taken
    taken.cpu_s, taken.wall_s = time.process_time() - cpu, time.perf_counter() - wall
