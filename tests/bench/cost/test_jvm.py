"""CPU time of a JVM: its compiler threads count separately."""

import subprocess
import sys

import psutil
import pytest

from bench.cost import jvm
from bench.cost.jvm import jit_s, measure_jvm_cost
from bench.errors import BenchError

# A process whose second thread has the name of a compiler thread of the JVM and works.
WITH_COMPILER = """
import sys, threading
def compile():
    with open("/proc/thread-self/comm", "w") as name:
        name.write(sys.argv[1])
    sum(range(6_000_000))
    print("compiled", flush=True)
    input()
threading.Thread(target=compile).start()
"""


@pytest.fixture
def start_jvm():
    children = []

    def start(thread_name):
        command = [sys.executable, "-c", WITH_COMPILER, thread_name]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        children.append(child)
        child.stdout.readline()
        return psutil.Process(child.pid)

    yield start
    for child in children:
        child.communicate(b"\n")


@pytest.mark.parametrize("name", ["C1 CompilerThre", "C2 CompilerThre"])
def test_both_compilers_of_the_jvm_count(start_jvm, name):
    assert jit_s(start_jvm(name)) > 0


def test_other_threads_are_not_the_compiler(start_jvm):
    assert jit_s(start_jvm("GC Thread#0")) == 0.0


def test_a_thread_that_has_ended_is_not_a_compiler():
    assert not jvm._is_compiler(psutil.Process().pid, 2**22 + 1)


def test_cost_is_split_into_the_compiler_and_the_rest(monkeypatch):
    cpu, jit = iter([10.0, 17.0]), iter([1.0, 3.0])
    monkeypatch.setattr(jvm, "cpu_s", lambda _: next(cpu))
    monkeypatch.setattr(jvm, "jit_s", lambda _: next(jit))
    with measure_jvm_cost(psutil.Process()) as cost:
        pass
    assert (cost.jit_s, cost.cpu_s) == (2.0, 5.0)


def test_a_jvm_that_has_died_is_named():
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    child.wait()
    with pytest.raises(BenchError, match=f"process {child.pid} died"):
        jit_s(process)
    with pytest.raises(BenchError, match=f"process {child.pid} died"), measure_jvm_cost(process):
        pass
