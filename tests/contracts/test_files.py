"""A replaced file is whole at every moment, and a lock excludes other processes until they die."""

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
