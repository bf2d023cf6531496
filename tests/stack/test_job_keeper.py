"""The live job is resumed after a crash of the JobManager: once, from its own newest state, and
only if no one has stopped it.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts import live_job
from contracts.config import paths
from contracts.config.settings import Settings
from stack import job_keeper
from stack.job_keeper import JobKeeper
from streaming.job import intent
from tests.support.scripted_flink import LOST, Script, scripted_flink

JOB_ID, OTHER_ID = "a" * 32, "b" * 32
# Stands in for `tick`: notes its arguments, and fails if a file `broken` exists.
NOTE = """
import json, pathlib, sys
file = pathlib.Path(sys.argv[1])
with file.open("a") as out: out.write(json.dumps(sys.argv[2:]) + "\\n")
sys.exit((file.parent / "broken").exists())
"""


@pytest.fixture
def flink():
    """A Flink that responds and has no job, as after a restart of the JobManager."""
    with scripted_flink() as script:
        yield script


@pytest.fixture
def settings(flink: Script, make_settings) -> Settings:
    return make_settings(flink_port=flink.port, supervise_attempts_max=2, supervise_pause_s=5)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch) -> Callable[[], list[list[str]]]:
    """The calls of `tick job` so far."""
    file = tmp_path / "calls"
    monkeypatch.setattr(job_keeper, "TICK", (sys.executable, "-c", NOTE, str(file)))
    return lambda: (
        [json.loads(line) for line in file.read_text().splitlines()] if (file.exists()) else []
    )


def step(keeper: JobKeeper, now_s: float) -> None:
    """One step, and wait for the child that it started."""
    keeper.step(now_s)
    if keeper._child is not None:
        keeper._child.wait(60)


def save(settings: Settings, job_id: str, number: int) -> Path:
    state = paths.checkpoints(settings) / job_id / f"chk-{number}"
    state.mkdir(parents=True)
    (state / "_metadata").touch()
    os.utime(state / "_metadata", (number, number))
    return state


def test_a_lost_job_continues_from_its_own_newest_checkpoint(settings, calls):
    save(settings, JOB_ID, 7)
    newest = save(settings, JOB_ID, 8)
    save(settings, OTHER_ID, 9)  # newer, but of another job
    intent.record_start(settings, JOB_ID, None)
    step(JobKeeper(settings), 0)
    assert calls() == [["job", "resume", "--state", str(newest), "--alone"]]


def test_a_job_without_a_checkpoint_continues_from_the_state_it_was_started_from(settings, calls):
    intent.record_start(settings, JOB_ID, "file:///states/savepoint-1")
    step(JobKeeper(settings), 0)
    assert calls() == [["job", "resume", "--state", "/states/savepoint-1", "--alone"]]


def test_a_job_that_had_no_state_yet_starts_without_one(settings, calls):
    save(settings, OTHER_ID, 9)
    intent.record_start(settings, JOB_ID, None)
    step(JobKeeper(settings), 0)
    assert calls() == [["job", "submit", "--fresh", "--alone"]]


def test_a_job_that_no_one_started_is_not_started(settings, calls):
    save(settings, JOB_ID, 1)
    step(JobKeeper(settings), 0)
    assert calls() == []


def test_a_job_that_was_stopped_on_purpose_stays_stopped(settings, calls):
    intent.record_start(settings, JOB_ID, None)
    with intent.stopping(settings, JOB_ID):
        pass
    step(JobKeeper(settings), 0)
    assert calls() == []


@pytest.mark.parametrize("state", ["RUNNING", "RESTARTING", "CREATED", "FAILED", "CANCELED"])
def test_a_job_that_flink_knows_is_left_alone(settings, flink, calls, state):
    job = {"jid": JOB_ID, "name": live_job.NAME, "state": state, "start-time": 1}
    flink.overview = (200, {"jobs": [job]})
    intent.record_start(settings, JOB_ID, None)
    step(JobKeeper(settings), 0)
    assert calls() == []


@pytest.mark.parametrize("status", [LOST, 500, 404])
def test_no_job_is_started_while_flink_does_not_respond(
    settings, flink, calls, status, monkeypatch
):
    flink.overview = (status, {})
    monkeypatch.setattr(job_keeper, "REST_TIMEOUT_S", 0.1)
    intent.record_start(settings, JOB_ID, None)
    step(JobKeeper(settings), 0)
    assert calls() == []


def test_one_start_at_a_time_with_pauses_and_a_limit(settings, calls, tmp_path):
    (tmp_path / "broken").touch()
    intent.record_start(settings, JOB_ID, None)
    keeper = JobKeeper(settings)
    keeper.step(0)
    first = keeper._child
    keeper.step(100)  # the first one has not ended, or has just ended
    first.wait(60)
    for now_s in (101.0, 104.0, 107.0, 150.0, 200.0):
        step(keeper, now_s)
    assert len(calls()) == 2
