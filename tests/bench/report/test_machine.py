"""The machine on which figures were measured."""

import os
import platform
import subprocess
import sys

import psutil
import pytest

from bench.report import machine

CPU_INFO = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 7B13: 2.45 GHz
processor\t: 1
model name\t: other
"""


def test_the_cores_are_those_that_this_process_may_use():
    one_core = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from bench.report import machine
print(machine.describe().cores)
"""
    output = subprocess.check_output([sys.executable, "-c", one_core], text=True)
    assert output.strip() == "1"


def test_memory_kernel_and_python_are_those_of_this_machine():
    here = machine.describe()
    assert here.memory_gib == pytest.approx(psutil.virtual_memory().total / 2**30, abs=0.06)
    assert here.system == f"Linux {os.uname().release}"
    assert here.python == platform.python_version()


def test_the_model_is_the_first_one_that_the_kernel_names(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(CPU_INFO)
    monkeypatch.setattr(machine, "CPU_INFO", file)
    assert machine.describe().model == "AMD EPYC 7B13: 2.45 GHz"


@pytest.mark.parametrize("content", ["processor\t: 0\nCPU part\t: 0xd0c\n", None])
def test_without_a_model_the_architecture_is_named(tmp_path, monkeypatch, content):
    file = tmp_path / "cpuinfo"
    if content:
        file.write_text(content)
    monkeypatch.setattr(machine, "CPU_INFO", file)
    assert machine.describe().model == platform.machine()


def test_the_load_average_has_two_decimals(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1.23456, 9.0, 9.0))
    assert machine.load_average() == 1.23
