"""Cost of a block of code and of a process in CPU time, which other processes hardly affect."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from bench.errors import BenchError


@dataclass
class Cost:
    """Cost of a block of code: CPU seconds of this process (all threads), and wall seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def measure_cost() -> Iterator[Cost]:
    """Measure the `with` block; the result is set when the block ends."""
    cost, cpu, wall = Cost(), time.process_time(), time.perf_counter()
    yield cost
    cost.cpu_s = time.process_time() - cpu
    cost.wall_s = time.perf_counter() - wall


@contextmanager
def require_alive(process: psutil.Process) -> Iterator[None]:
    """Raise BenchError if the process turns out to have died during the `with` block."""
    try:
        yield
    except psutil.NoSuchProcess as error:
        raise BenchError(
            f"process {process.pid} died while it was measured", "see its log; run the bench again"
        ) from error


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of all threads of a process since its start. Raises BenchError if it died."""
    with require_alive(process):
        times = process.cpu_times()
    return float(times.user + times.system)


def tree_cpu_s(process: psutil.Process) -> float:
    """`cpu_s` of a process and all of its descendants. Raises BenchError if one died."""
    with require_alive(process):
        descendants = process.children(recursive=True)
    return sum(map(cpu_s, (process, *descendants)))


def peak_memory_mib() -> float:
    """The most memory that this process has had in use so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
