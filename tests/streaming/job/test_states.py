"""Which states of the live job are newest and which are deleted: the rule, then on folders."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import paths
from contracts.config.settings import Settings
from streaming.job import intent, states
from streaming.job.states import Folder
from tests.support.scripted_flink import LOST, Script, scripted_flink

A, B, C, D = (digit * 32 for digit in "abcd")  # job ids


def folders(*saved: tuple[str, int]) -> list[Folder]:
    return [Folder(Path(f"{n}-{lineage}"), lineage, at) for n, (lineage, at) in enumerate(saved)]


def superseded(*saved: tuple[str, int], in_use: str = "") -> list[str]:
    return [path.name for path in states.superseded(folders(*saved), set(in_use))]


def test_the_newest_two_lineages_stay():
    assert superseded(("a", 1), ("c", 3), ("b", 2)) == ["0-a"]
    assert superseded(("a", 1), ("b", 2)) == []


def test_checkpoints_and_savepoint_of_a_job_are_one_lineage():
    assert superseded(("a", 1), ("b", 2), ("b", 3)) == []
    assert superseded(("a", 1), ("b", 2), ("c", 3), ("a", 4)) == ["1-b"]


def test_what_a_running_job_refers_to_stays():
    assert superseded(("a", 1), ("b", 2), ("c", 3), ("d", 4), in_use="a") == ["1-b"]


def test_a_folder_without_a_complete_state_does_not_count():
    assert superseded(("a", 1), ("b", 2), ("c", 0), ("d", 0), in_use="d") == ["2-c"]


@given(st.lists(st.sampled_from("abcdef"), min_size=1), st.sets(st.sampled_from("abcdef")))
def test_the_newest_state_is_never_deleted(lineages, in_use):
    found = folders(*((lineage, at) for at, lineage in enumerate(lineages, 1)))
    deleted = states.superseded(found, in_use)
    assert found[-1].path not in deleted
    stay = {folder.lineage for folder in found if folder.path not in deleted}
    assert len(stay) >= min(states.LINEAGES_KEPT, len(set(lineages)))


@pytest.fixture
def flink() -> Iterator[Script]:
    """A Flink without running jobs."""
    with scripted_flink() as script:
        yield script


@pytest.fixture
def home(flink, tmp_path) -> Settings:
    return Settings(home=tmp_path / "tick", flink_port=flink.port)


@pytest.fixture
def save() -> Callable[[Path], Path]:
    """Make a complete state, each a second younger than the one before."""
    clock = count(1_700_000_000)

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()
        second = next(clock)
        os.utime(folder / "_metadata", (second, second))
        return folder

    return write


def checkpoint(settings: Settings, job_id: str, number: int = 1) -> Path:
    return paths.checkpoints(settings) / job_id / f"chk-{number}"


def savepoint(settings: Settings, job_id: str) -> Path:
    return paths.savepoints(settings) / f"savepoint-{job_id[:6]}-0123456789ab"


def test_old_checkpoints_and_savepoints_are_deleted(home, save):
    old = [save(checkpoint(home, A)), save(savepoint(home, A)), save(savepoint(home, B))]
    kept = [save(checkpoint(home, C, 9)), save(checkpoint(home, C, 10)), save(savepoint(home, D))]
    (checkpoint(home, A).parent / "shared").mkdir()
    states.prune(home, f"file://{kept[-1]}")
    assert not any(path.exists() for path in (*old, checkpoint(home, A).parent))
    assert all((path / "_metadata").exists() for path in kept)
    assert states.newest_state(home) == kept[-1]


def test_the_state_that_the_job_was_started_from_stays(home, save, tmp_path):
    source, *_ = [save(checkpoint(home, job_id)) for job_id in (A, B, C, D)]
    (tmp_path / "link").symlink_to(paths.checkpoints(home))
    states.prune(home, f"file://{tmp_path / 'link' / source.relative_to(paths.checkpoints(home))}")
    assert [checkpoint(home, job_id).exists() for job_id in (A, B, C, D)] == [
        True,
        False,
        True,
        True,
    ]


def test_folders_of_jobs_that_have_not_ended_stay(home, save, flink):
    for job_id in (A, B, C, D):
        save(checkpoint(home, job_id))
    starting = paths.checkpoints(home) / ("e" * 32) / "shared"
    starting.mkdir(parents=True)
    save(checkpoint(home, "f" * 32))
    jobs = [(A, "RUNNING"), (B, "FAILED"), ("e" * 32, "INITIALIZING"), ("f" * 32, "RUNNING")]
    entries = [{"jid": jid, "name": "", "state": state, "start-time": 0} for jid, state in jobs]
    flink.overview = (200, {"jobs": entries})
    states.prune(home, None)
    assert [checkpoint(home, job_id).exists() for job_id in (A, B, C, D)] == [
        True,
        False,
        True,
        True,
    ]
    assert starting.exists()


def test_nothing_is_deleted_when_flink_does_not_answer(home, save, flink, capsys):
    saved = [save(checkpoint(home, job_id)) for job_id in (A, B, C)]
    flink.overview = (LOST, {})
    states.prune(home, None)
    assert all(path.exists() for path in saved)
    assert "stay on disk" in capsys.readouterr().out


def test_a_copy_under_another_name_stays(home, save):
    copies = [save(paths.savepoints(home) / "before-upgrade"), save(checkpoint(home, "by-hand"))]
    for job_id in (A, B, C):
        save(checkpoint(home, job_id))
    states.prune(home, None)
    assert all(path.exists() for path in copies)


def test_an_unfinished_checkpoint_is_not_the_newest_state(home, save):
    assert states.newest_state(home) is None
    assert states.newest_state_us(home) is None
    complete = save(checkpoint(home, A, 7))
    checkpoint(home, A, 8).mkdir()
    assert states.newest_state(home) == complete
    assert states.newest_state_us(home) == 1_700_000_000 * 1_000_000


def test_the_newest_state_is_of_the_job_that_was_started_last(home, save):
    own = [save(savepoint(home, B)), save(checkpoint(home, B, 8))]
    save(checkpoint(home, A))  # older, with a later time: as after a clock step
    save(paths.savepoints(home) / "copy")
    intent.record_start(home, B, None)
    assert states.newest_state(home) == own[1]
    assert states.newest_state_us(home) == 1_700_000_001 * 1_000_000
    stopped = save(savepoint(home, B[:6] + "0" * 26).with_name("savepoint-bbbbbb-fedcba987654"))
    assert states.newest_state(home) == stopped


def test_a_job_that_has_saved_nothing_continues_from_the_state_it_was_started_from(home, save):
    source, later = save(checkpoint(home, A)), save(checkpoint(home, C))
    intent.record_start(home, B, f"file://{source}")
    assert states.newest_state(home) == source
    intent.record_start(home, B, f"file://{source.with_name('chk-0')}")
    assert states.newest_state(home) == later, "the state is gone: the newest of all"
    intent.record_start(home, B, None)
    assert states.newest_state(home) == later
