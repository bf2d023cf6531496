"""CPU time of a block and of processes."""

import subprocess
import sys
import time

import psutil
import pytest

from bench.cost.process import cpu_s, measure_cost, peak_memory_mib, require_alive, tree_cpu_s
from bench.errors import BenchError

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
input()
child.communicate(b"\\n")
"""
CHILD = "print(sum(range(3_000_000)), flush=True); input()"


def burn_cpu(seconds):
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        pass


@pytest.fixture
def dead():
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    child.wait()
    return process


def test_a_block_costs_its_cpu_time_and_its_wall_time():
    with measure_cost() as cost:
        burn_cpu(0.02)
    assert cost.cpu_s >= 0.02
    assert cost.wall_s > 0


def test_waiting_costs_wall_time_only():
    with measure_cost() as cost:
        subprocess.run([sys.executable, "-c", "sum(range(2_000_000))"], check=True)
    assert cost.cpu_s < cost.wall_s


def test_what_follows_the_block_is_not_counted():
    with measure_cost() as cost:
        pass
    cpu_before_s = cost.cpu_s
    burn_cpu(0.01)
    assert cost.cpu_s == cpu_before_s


def test_the_cpu_of_this_process_grows():
    process = psutil.Process()
    before_s = cpu_s(process)
    burn_cpu(0.05)
    assert cpu_s(process) >= before_s + 0.03  # the kernel counts in hundredths


def test_a_dead_process_is_named(dead):
    with pytest.raises(BenchError, match=f"process {dead.pid} died while it was measured"):
        cpu_s(dead)
    with pytest.raises(BenchError, match=f"process {dead.pid} died"):
        tree_cpu_s(dead)


def test_other_errors_of_a_block_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), require_alive(psutil.Process()):
        _ = 1 / 0


def test_the_cpu_of_descendants_counts():
    command = [sys.executable, "-c", PARENT, CHILD]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        parent.stdout.readline()  # the child has worked
        process = psutil.Process(parent.pid)
        assert tree_cpu_s(process) > cpu_s(process)
    finally:
        parent.communicate(b"\n")


def test_the_peak_of_the_memory_is_in_mib():
    resident_mib = psutil.Process().memory_info().rss / 2**20
    assert resident_mib * 0.95 <= peak_memory_mib() <= psutil.virtual_memory().total / 2**20
