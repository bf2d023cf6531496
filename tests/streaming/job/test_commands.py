"""Start, stop, resume and status of the live job against a server that answers like Flink."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import JobError
from feature_store.flink.program import FinishedReaderError
from lakehouse import leases
from streaming.job import job, restore
from tests.support.flink_server import JOB_ID, flink_server
from tests.support.loopback import serving
from tests.support.scripted_flink import scripted_flink


@pytest.fixture
def flink():
    """A Flink whose live job runs."""
    with flink_server() as server:
        yield server


@pytest.fixture
def running(flink, tmp_path) -> Settings:
    return Settings(home=tmp_path / "tick", flink_port=flink.port)


@pytest.fixture
def idle(tmp_path):
    """Settings of a Flink without jobs."""
    with scripted_flink() as script:
        yield Settings(home=tmp_path / "tick", flink_port=script.port)


def save(settings: Settings, number: int, seconds: int) -> Path:
    state = paths.checkpoints(settings) / JOB_ID / f"chk-{number}"
    state.mkdir(parents=True)
    (state / "_metadata").touch()
    os.utime(state / "_metadata", (seconds, seconds))
    return state


def test_a_running_job_is_not_submitted_again(running):
    assert job.start(running) == JOB_ID
    assert job.submit_fresh(running, 0) == JOB_ID
    assert not (running.root / "lakehouse").exists()


@pytest.fixture
def submitted(flink, monkeypatch):
    """Programs that were submitted: the job appears in Flink only a while after the submission."""
    programs, flink.name = [], "another job"

    def plan(_settings, program, _child=None):
        programs.append(program)
        time.sleep(0.3)
        flink.name = job.NAME
        return JOB_ID

    monkeypatch.setattr(job, "submit", plan)
    return programs


def test_of_two_starts_at_once_one_submits_and_the_other_names_its_job(running, submitted):
    named = []
    with ThreadPoolExecutor(2) as pool:
        starts = [pool.submit(job.start, running, on_running=named.append) for _ in range(2)]
    assert [start.result() for start in starts] == [JOB_ID] * 2
    assert (len(submitted), named) == (1, [JOB_ID])


def test_of_two_fresh_starts_at_once_one_publishes_the_warm_up(running, submitted, monkeypatch):
    published = []
    monkeypatch.setattr(job.warmup, "publish", lambda *_: published.append(1))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: job.submit_fresh(running, 0), range(2)))
    assert (len(submitted), len(published)) == (1, 1)


def test_a_start_names_the_running_job_and_needs_no_lease(running):
    named = []
    with leases.lease(running, leases.LIVE_JOB):
        job.start(running, on_running=named.append)
    assert named == [JOB_ID]


def test_a_start_that_lost_its_lease_submits_nothing(running, submitted, monkeypatch):
    short = running.model_copy(update={"lease_s": 0.2})

    def take_over(*_):
        with leases.lease(short, leases.LIVE_JOB):
            pass

    monkeypatch.setattr(leases.Lease, "renew", lambda _: None)
    monkeypatch.setattr(job.warmup, "publish", take_over)
    with pytest.raises(leases.LeaseError, match="was taken over"):
        job.submit_fresh(short, 0)
    assert submitted == []


@pytest.mark.parametrize("state", ["FINISHED", "CANCELED", "FAILED"])
def test_a_job_that_ended_cannot_be_stopped(running, flink, state):
    flink.state = state
    with pytest.raises(JobError, match="not running") as caught:
        job.stop(running)
    assert "tick job submit" in caught.value.hint and "tick job resume" in caught.value.hint


def test_status_is_of_the_newest_live_job(running, flink):
    assert job.status(running) == {
        "job_id": JOB_ID,
        "state": "RUNNING",
        "running_s": 1,
        "checkpoints": 7,
        "checkpoint_ms": None,
        "state_bytes": 5,
    }
    flink.name = "another job"
    assert job.status(running) == {}


def test_status_of_a_job_without_a_checkpoint(running, flink, monkeypatch):
    answer = flink.answer
    monkeypatch.setattr(
        flink,
        "answer",
        lambda path: {"latest": None} if path.endswith("checkpoints") else answer(path),
    )
    status = job.status(running)
    assert (status["checkpoints"], status["state_bytes"]) == (0, None)


def test_without_a_state_there_is_nothing_to_resume(idle):
    with pytest.raises(JobError, match="no checkpoint or savepoint") as caught:
        job.resume(idle)
    assert "tick job submit" in caught.value.hint


def test_resume_continues_from_the_newest_state_or_the_given_one(idle, monkeypatch):
    old, new = save(idle, 1, 1_000), save(idle, 2, 2_000)
    started = []
    monkeypatch.setattr(job, "start", lambda settings, state, **_: started.append(state) or "id")
    assert job.resume(idle) == "id"
    job.resume(idle, old)
    assert started == [f"file://{new}", f"file://{old}"]


def test_a_state_with_a_finished_reader_is_explained(idle, monkeypatch):
    newest = save(idle, 2, 2_000)

    def refuse(_settings, state, **_):
        raise FinishedReaderError(state, ["wire"])

    monkeypatch.setattr(job, "start", refuse)
    monkeypatch.setattr(restore, "newest_usable_state", lambda *_: None)
    with pytest.raises(JobError, match="had finished: wire") as caught:
        job.resume(idle)
    assert str(newest) in caught.value.message and "tick job submit --fresh" in caught.value.hint


class Reader:
    """Stands for the JVM that reads saved states: which readers had finished in each."""

    def __init__(self, finished: dict[Path, list[str]]) -> None:
        self.finished, self.asked = finished, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def finished_readers(self, state: str) -> list[str]:
        self.asked.append(state)
        return self.finished[Path(state.removeprefix("file://"))]


def test_the_newest_older_state_in_which_all_readers_ran_is_proposed(idle, monkeypatch):
    fine, broken, refused = (save(idle, n, 1_000 * n) for n in (1, 2, 3))
    reader = Reader({fine: ["wire_warm"], broken: ["wire", "wire_warm"]})
    monkeypatch.setattr(restore, "Submitter", lambda _settings: reader)
    error = restore.explain(idle, FinishedReaderError(f"file://{refused}", ["wire"]), refused)
    assert f"tick job resume --state {fine}" in error.hint and "--fresh" in error.hint
    assert reader.asked == [f"file://{broken}", f"file://{fine}"]


def test_only_a_few_older_states_are_read(idle, monkeypatch):
    states = [save(idle, n, 1_000 * n) for n in range(1, 30)]
    reader = Reader(dict.fromkeys(states, ["wire"]))
    monkeypatch.setattr(restore, "Submitter", lambda _settings: reader)
    assert restore.newest_usable_state(idle, states[-1]) is None
    assert len(reader.asked) == restore.OLDER_STATES_MAX
    assert reader.asked[0] == f"file://{states[-2]}"


def test_without_flink_every_command_says_so(tmp_path):
    from http.server import BaseHTTPRequestHandler

    with serving(BaseHTTPRequestHandler) as port:
        pass  # a port on which nothing listens any more
    settings = Settings(home=tmp_path, flink_port=port)
    for command in (job.start, job.stop, job.status):
        with pytest.raises(JobError, match="Flink"):
            command(settings)
