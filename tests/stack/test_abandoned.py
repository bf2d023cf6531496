"""Services that a killed test run left behind are ended by the next run; those of running test runs
stay.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.config import paths
from stack import platform
from stack.process.pids import ProcessRecord
from stack.process.service import Service, spawn, stop
from tests.conftest import OWNER, end_abandoned


@pytest.mark.parametrize("owner_lives", [True, False])
def test_only_services_without_owner_are_ended(tmp_path: Path, owner_lives: bool):
    home = tmp_path / "pytest-7" / "platform0"
    service = Service(
        "sleeper", "1", (sys.executable, "-c", "import time; time.sleep(600)"), lambda: True, home
    )
    spawn(service)
    try:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as brief:
            (
                ProcessRecord.from_pid(os.getpid())
                if owner_lives
                else ProcessRecord.from_pid(brief.pid)
            ).write(home / OWNER)
            brief.communicate(b"\n")
        end_abandoned(tmp_path)
        assert (service.process() is not None) is owner_lives
    finally:
        stop(service.pid_file, timeout_s=5)


def test_down_ignores_partial_pid_files(free_settings):
    """A killed process leaves a hidden file with the suffix of a PID file."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ProcessRecord.from_pid(other.pid).write(paths.run(free_settings) / ".7.kafka.json")
        assert platform.down(free_settings) == []
        assert other.poll() is None
        other.communicate(b"\n")
