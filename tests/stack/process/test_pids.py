"""A PID file never leads to another process than the recorded one, and no process of a service
outlives it.
"""

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from contracts.errors import ServiceError
from stack.process import pids
from stack.process.pids import ProcessRecord, end_session

# Starts a child that would stay behind; with the argument `stubborn` it ignores SIGTERM.
PARENT = """
import signal, subprocess, sys
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., tuple[ProcessRecord, int]]]:
    """Starts a parent in a separate session; returns its record and the child's PID."""
    started: list[int] = []

    def start(*arguments: str) -> tuple[ProcessRecord, int]:
        out = tmp_path / f"out{len(started)}"
        files = [(os.POSIX_SPAWN_OPEN, 1, str(out), os.O_WRONLY | os.O_CREAT, 0o600)]
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", PARENT, *arguments],
            os.environ,
            file_actions=files,
            setsid=True,
        )
        started.append(pid)
        while not out.read_text().endswith("\n"):
            time.sleep(0.02)
        return ProcessRecord.from_pid(pid), int(out.read_text())

    yield start
    for pid in started:
        for process in psutil.process_iter():
            if _session(process.pid) == pid:
                process.kill()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _is_gone(pid: int) -> bool:
    """Whether it ended; a zombie that its new parent has not collected yet counts."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_record_survives_its_file(tmp_path):
    record = ProcessRecord.from_pid(os.getpid())
    record.write(tmp_path / "run" / "me.json")
    assert ProcessRecord.from_file(tmp_path / "run" / "me.json") == record
    assert record.process() == psutil.Process()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"pid": 1}', '{"pid": 1, "created_s": 2, "more": 3}']
)
def test_a_damaged_pid_file_gives_no_record(tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    assert ProcessRecord.from_file(file) is None


def test_a_missing_pid_file_gives_no_record(tmp_path):
    assert ProcessRecord.from_file(tmp_path / "none.json") is None


def test_a_recycled_pid_is_not_ours(spawn):
    """A process has the recorded PID, but another creation time: neither it nor its session is
    touched.
    """
    record, child = spawn()
    other = dataclasses.replace(
        record, created_s=record.created_s - 100, start_ticks=record.start_ticks - 100
    )
    assert other.process() is None
    assert other.members() == []
    end_session(other, timeout_s=0)
    assert record.process() is not None
    assert not _is_gone(child)


def test_end_takes_the_children_along(spawn):
    record, child = spawn()
    end_session(record, timeout_s=10)
    assert record.process() is None
    assert _is_gone(child)
    assert record.members() == []


def test_end_kills_what_ignores_sigterm(spawn):
    record, child = spawn("stubborn")
    end_session(record, timeout_s=0.3)
    assert record.process() is None
    assert _is_gone(child)


def test_orphans_of_a_killed_leader_are_found_and_ended(spawn):
    record, child = spawn()
    os.kill(record.pid, signal.SIGKILL)
    while record.process() is not None:
        time.sleep(0.02)
    assert [member.pid for member in record.members()] == [child]
    end_session(record, timeout_s=10)
    assert record.members() == []


def test_ending_twice_is_harmless(spawn):
    record, _ = spawn()
    end_session(record, timeout_s=10)
    end_session(record, timeout_s=10)


def test_the_file_is_readable_json(tmp_path):
    ProcessRecord(7, 1.5, 9, "boot").write(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "pid": 7,
        "created_s": 1.5,
        "start_ticks": 9,
        "boot_id": "boot",
    }
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("step_s", [-3600, -0.5, 3600])
def test_a_stepped_clock_changes_no_identity(spawn, monkeypatch, step_s):
    """The kernel reports the time of the boot from the current wall clock, so it moves with it."""
    record, child = spawn()
    set_clock(monkeypatch, step_s)
    assert record.process().pid == record.pid
    assert {member.pid for member in record.members()} == {record.pid, child}
    assert record.started_s() == pytest.approx(record.created_s + step_s)
    end_session(record, timeout_s=10)
    assert _is_gone(record.pid)
    assert _is_gone(child)


def set_clock(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    """Move what psutil reads from the kernel as a step of the wall clock does."""
    boot_s = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot_s + step_s)


def test_a_process_of_another_boot_is_not_ours(spawn):
    """After a reboot another process may have the same PID and the same start ticks."""
    record, child = spawn()
    other = dataclasses.replace(record, boot_id="of another boot")
    assert other.process() is None
    assert other.members() == []
    end_session(other, timeout_s=0)
    assert not _is_gone(child)


def test_a_pid_file_of_an_earlier_version_still_leads_to_its_process(spawn, tmp_path):
    record, child = spawn()
    file = tmp_path / "old.json"
    file.write_text(json.dumps({"pid": record.pid, "created_s": record.created_s}))
    old = ProcessRecord.from_file(file)
    assert old.process().pid == record.pid
    assert {member.pid for member in old.members()} == {record.pid, child}
    assert dataclasses.replace(old, created_s=old.created_s - 100).process() is None
    end_session(old, timeout_s=10)
    assert _is_gone(child)


def test_a_name_with_spaces_and_brackets_hides_no_start_time(tmp_path):
    program = tmp_path / "a) 1 (b"
    program.symlink_to("/bin/sleep")
    pid = os.posix_spawn(program, [str(program), "600"], os.environ, setsid=True)
    record = ProcessRecord.from_pid(pid)
    assert record.start_ticks >= ProcessRecord.from_pid(os.getpid()).start_ticks
    end_session(record, timeout_s=10)
    assert _is_gone(pid)


def test_a_process_that_sigkill_does_not_end_is_reported_in_bounded_time(spawn, monkeypatch):
    record, child = spawn()
    monkeypatch.setattr(pids, "KILL_TIMEOUT_S", 0.1)
    with monkeypatch.context() as unkillable:
        unkillable.setattr(psutil.Process, "kill", lambda _: None)
        unkillable.setattr(psutil.Process, "send_signal", lambda *_: None)
        with pytest.raises(ServiceError, match=f"{record.pid}.* has not ended") as caught:
            end_session(record, timeout_s=0)
    assert str(child) in caught.value.message
    assert "tick down" in caught.value.hint
    end_session(record, timeout_s=0)
    assert _is_gone(child)
