"""Cost of a JVM in CPU time, without that of its JIT compiler."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.cost.process import cpu_s, require_alive


@dataclass
class JvmCost:
    """CPU seconds of a JVM without its JIT compiler, and of its JIT compiler."""

    cpu_s: float = 0.0
    jit_s: float = 0.0


@contextmanager
def measure_jvm_cost(jvm: psutil.Process) -> Iterator[JvmCost]:
    """Measure a JVM during the `with` block; the result is set when the block ends.

    Raises BenchError if the JVM has died.
    """
    cost, cpu, jit = JvmCost(), cpu_s(jvm), jit_s(jvm)
    yield cost
    cost.jit_s = jit_s(jvm) - jit
    cost.cpu_s = cpu_s(jvm) - cpu - cost.jit_s


def jit_s(jvm: psutil.Process) -> float:
    """CPU seconds of a JVM's compiler threads, which work for minutes and are then almost idle.

    Misses the time of compiler threads that the JVM has ended, which happens from four cores on,
    where it has more than one of a kind. Raises BenchError if the JVM has died.
    """
    with require_alive(jvm):
        return float(
            sum(
                each.user_time + each.system_time
                for each in jvm.threads()
                if _is_compiler(jvm.pid, each.id)
            )
        )


def _is_compiler(pid: int, thread: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/task/{thread}/comm")
            .read_text()
            .startswith(("C1 Compiler", "C2 Compiler"))
        )
    except OSError:  # the thread has ended
        return False
