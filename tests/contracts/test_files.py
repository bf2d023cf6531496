"""A replaced file is whole at every moment, and a lock excludes other processes until they die."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from contracts.files import hold_lock, replace_atomically
from tests.conftest import REPO

HOLDER = """
import sys, time
from pathlib import Path
from contracts.files import hold_lock
with hold_lock(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    time.sleep(60)
"""

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from contracts.files import replace_atomically
with replace_atomically(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITER = """
import sys
from pathlib import Path
from contracts.files import replace_atomically
with replace_atomically(Path(sys.argv[1])) as partial:
    partial.write_text("theirs" * 1000)
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_readers_see_old_or_new_content_only(tmp_path):
    file, stop, seen = tmp_path / "numbers", threading.Event(), set()
    file.write_text("0" * 100_000)

    def read():
        while not stop.is_set():
            seen.add(file.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for digit in "123456789" * 5:
        with replace_atomically(file) as partial:
            partial.write_text(digit * 100_000)
    stop.set()
    reader.join()
    assert seen <= {digit * 100_000 for digit in "0123456789"}
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path):
    file = tmp_path / "state"
    file.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), replace_atomically(file) as partial:
        partial.write_text("ne")
        raise RuntimeError("half way")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_process_of_the_same_number_left_is_not_an_obstacle(tmp_path):
    """In a container a service has the same small PID after each restart."""
    file = tmp_path / "secrets"
    with replace_atomically(file) as partial:
        partial.write_text("first")
    partial.write_text("left behind")
    with replace_atomically(file) as partial, partial.open("x") as out:
        out.write("second")
    assert file.read_text() == "second"
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_folder_is_made(tmp_path):
    with replace_atomically(tmp_path / "a" / "b" / "file") as partial:
        partial.write_bytes(b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"


def test_a_lock_excludes_another_process_until_it_is_killed(tmp_path):
    file = tmp_path / "folder" / "lock"
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), hold_lock(file, wait=False):
            pass
        holder.kill()
        holder.wait()
        with hold_lock(file, wait=False) as lock:
            lock.write("ours")
    assert file.read_text() == "ours"


def test_a_process_killed_while_writing_leaves_the_old_content(tmp_path):
    file = tmp_path / "state.json"
    file.write_text("old")
    command = [sys.executable, "-c", KILLED_WRITER, str(file)]
    killed = subprocess.run(command, cwd=REPO, check=False)
    assert killed.returncode == -9
    assert file.read_text() == "old"
    with replace_atomically(file) as partial:
        partial.write_text("new")
    assert file.read_text() == "new"


def test_two_processes_write_to_separate_files(tmp_path):
    """The last to finish wins; neither sees a part of the other's content."""
    file = tmp_path / "state"
    command = [sys.executable, "-c", WRITER, str(file)]
    with subprocess.Popen(
        command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "writing\n"
        with replace_atomically(file) as partial:
            partial.write_text("ours")
        assert file.read_text() == "ours"
        other.communicate("")
    assert other.returncode == 0
    assert file.read_text() == "theirs" * 1000
    assert list(tmp_path.iterdir()) == [file]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_content(tmp_path):
    file = tmp_path / "state"
    file.write_text("old")
    with pytest.raises(FileNotFoundError), replace_atomically(file):
        pass
    assert file.read_text() == "old"


def test_a_file_cannot_take_the_place_of_a_folder(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    with pytest.raises(IsADirectoryError), replace_atomically(folder) as partial:
        partial.write_text("new")
    assert list(tmp_path.iterdir()) == [folder]


def test_the_suffix_stays_for_libraries_that_look_at_it(tmp_path):
    with replace_atomically(tmp_path / "rows.parquet") as partial:
        assert partial.suffix == ".parquet"
        assert partial.parent == tmp_path, "a rename within one file system is atomic"
        partial.touch()


@pytest.mark.parametrize(("durable", "synced"), [(True, ["state", "folder"]), (False, [])])
def test_a_durable_file_is_on_disk_before_its_name_is(tmp_path, monkeypatch, durable, synced):
    order = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        order.append("folder" if is_folder else "state")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with replace_atomically(tmp_path / "state", durable=durable) as partial:
        partial.write_text("new")
    assert order == synced


def test_a_lock_waits_until_the_holder_releases_it(tmp_path):
    file, order = tmp_path / "lock", []

    def hold_second() -> None:
        with hold_lock(file, wait=True):
            order.append("second")

    with hold_lock(file, wait=False):
        waiting = threading.Thread(target=hold_second)
        waiting.start()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_a_lock_is_free_after_an_error_inside_it(tmp_path):
    file = tmp_path / "lock"
    with pytest.raises(RuntimeError), hold_lock(file, wait=False):
        raise RuntimeError("inside")
    with hold_lock(file, wait=False):
        pass


def test_what_the_holder_wrote_stays_for_the_next_one(tmp_path):
    file = tmp_path / "lock"
    for line in ("first\n", "second\n"):
        with hold_lock(file, wait=False) as lock:
            lock.write(line)
    assert file.read_text() == "first\nsecond\n"
