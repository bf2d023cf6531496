"""A log never grows beyond its limit while the service writes to it, and the service notices
nothing.
"""

import sys
import time

import pytest

from stack.process import log_files
from stack.process.log_files import log_tail, rotate
from stack.process.service import Service, spawn, stop

# Writes a numbered line whenever its file `go` has grown, until it is stopped.
WRITER = """
import sys, time
for number in range(10**6):
    print(f"line {number} " + "x" * 100, flush=True)
    time.sleep(0.001)
"""


@pytest.fixture
def kib(monkeypatch):
    """Logs in KiB instead of MiB."""
    monkeypatch.setattr(log_files, "MIB", 1024)


def test_a_log_within_its_limit_stays(tmp_path, kib):
    log = tmp_path / "a.log"
    assert not rotate(log, 1)
    log.write_text("x" * 1024)
    assert not rotate(log, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]


def test_a_larger_log_replaces_the_old_one_which_only_its_owner_reads(tmp_path, kib):
    log, old = tmp_path / "a.log", tmp_path / "a.log.1"
    old.write_text("older")
    log.write_text("x" * 1025)
    assert rotate(log, 1)
    assert (log.read_text(), old.read_text()) == ("", "x" * 1025)
    assert old.stat().st_mode & 0o777 == 0o600


def test_a_service_goes_on_writing_to_the_beginning_of_its_rotated_log(tmp_path, kib):
    service = Service("writer", "1", (sys.executable, "-c", WRITER), lambda: True, tmp_path)
    spawn(service)
    try:
        for _ in range(3):
            while not rotate(service.log, 2):
                time.sleep(0.005)
            while service.log.stat().st_size == 0:
                time.sleep(0.005)
            assert service.log.read_bytes().startswith(b"line ")  # no hole of zeros before it
            assert service.log.stat().st_size < 4096
        assert service.process() is not None
    finally:
        stop(service.pid_file, timeout_s=0)


def test_the_tail_is_short_and_never_fails(tmp_path):
    log = tmp_path / "x.log"
    assert log_tail(log) == "(no log)"
    log.write_bytes(b"\xff\xfe\n" + b"".join(b"%d\n" % number for number in range(50_000)))
    assert log_tail(log, 2) == "49998\n49999"
