"""Keys of a file that is replaced, removed, spoilt or unreadable: revoked after a bounded time."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from serving.web import auth
from serving.web.auth import KEYS_RELOAD_S, ApiKeys

STALE_S = 60.0


class Clock:
    """`time.monotonic` of the keys: every check is one reload interval after the one before."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(auth, "time", clock)
    return clock


class Checked:
    """Keys of a file and what they report; `accepted` advances to the next check."""

    def __init__(self, file: Path, clock: Clock) -> None:
        file.write_text("file-key\n")
        self.reports: list[bool] = []
        self._clock = clock
        self._keys = ApiKeys(["fixed"], file, STALE_S, self.reports.append)

    def accepted(self, after_s: float = KEYS_RELOAD_S) -> tuple[bool, bool]:
        """Whether the fixed key and the file's key are accepted at the next check."""
        self._clock.now_s += after_s
        return self._keys.match(b"fixed") is not None, self._keys.match(b"file-key") is not None


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def checked(file, clock):
    return Checked(file, clock)


def spoil(file: Path) -> None:
    file.write_text("sha256:" + "z" * 64)
    os.utime(file, ns=(1, 1))


def test_keys_of_a_spoilt_file_are_accepted_for_a_bounded_time(checked, file):
    spoil(file)
    with capture_logs() as logs:
        assert checked.accepted() == (True, True)
        assert checked.accepted(STALE_S - 1) == (True, True)
        assert checked.accepted() == (True, False)
    assert checked.reports == [True, False, False, False]
    assert [entry["event"] for entry in logs].count("API keys not read") == 3
    assert logs[-1]["event"] == "the keys of the file are revoked"
    assert "file-key" not in str(logs)


def test_a_file_that_becomes_a_folder_is_unreadable(checked, file):
    file.unlink()
    file.mkdir()
    assert checked.accepted() == (True, True)
    assert checked.accepted(STALE_S) == (True, False)


def test_a_removed_file_revokes_its_keys_at_the_second_check(checked, file):
    file.unlink()
    assert checked.accepted() == (True, True), "it may be replaced at this moment"
    assert checked.accepted() == (True, False)
    assert checked.reports == [True, False, False]


def test_a_file_that_is_absent_for_a_moment_revokes_nothing(checked, file):
    for _ in range(3):
        file.unlink()
        assert checked.accepted() == (True, True)
        file.write_text("file-key\n")
        assert checked.accepted() == (True, True)


@pytest.mark.parametrize("outage", [spoil, Path.unlink])
def test_a_repaired_file_is_accepted_at_the_next_check(checked, file, outage):
    status = file.stat()
    outage(file)
    checked.accepted()
    assert checked.accepted(STALE_S) == (True, False)
    file.write_text("file-key\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert checked.accepted() == (True, True), "even with the time of the file that was read first"
    assert checked.reports[-1] is True


def test_the_time_starts_again_after_a_file_could_be_read(checked, file):
    spoil(file)
    checked.accepted()
    file.write_text("file-key\n")
    checked.accepted()
    spoil(file)
    assert checked.accepted(STALE_S) == (True, True)
