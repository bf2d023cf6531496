"""What the live job is meant to do survives crashes, and tells a stop by a person from a crash."""

import subprocess
import sys

import pytest

from contracts.config import paths
from contracts.errors import JobError
from streaming.job import intent, job
from streaming.job.intent import JobIntent
from tests.support.scripted_flink import scripted_flink

RUNNING = JobIntent("a" * 32, "file:///states/chk-1")


def start(settings) -> None:
    intent.record_start(settings, RUNNING.job_id, RUNNING.restored)


def test_a_started_job_is_meant_to_run(free_settings):
    assert intent.read(free_settings) is None
    start(free_settings)
    assert intent.read(free_settings) == RUNNING


def test_a_stopped_job_is_not_from_the_moment_the_stop_begins(free_settings):
    start(free_settings)
    with intent.stopping(free_settings, RUNNING.job_id):
        assert intent.read(free_settings).stopped
    assert intent.read(free_settings).stopped
    start(free_settings)
    assert intent.read(free_settings) == RUNNING


def test_a_stop_that_failed_changes_nothing(free_settings):
    start(free_settings)
    with pytest.raises(JobError), intent.stopping(free_settings, RUNNING.job_id):
        raise JobError("no savepoint")
    assert intent.read(free_settings) == RUNNING


def test_a_stop_of_the_job_is_recorded(make_settings):
    running = {"jid": RUNNING.job_id, "name": job.NAME, "state": "RUNNING", "start-time": 1}
    with scripted_flink() as flink:
        settings = make_settings(flink_port=flink.port)
        flink.overview = (200, {"jobs": [running]})
        flink.savepoint = (
            200,
            {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s"}},
        )
        flink.job = [(200, {"state": "FINISHED"})]
        job.stop(settings)
    assert intent.read(settings) == JobIntent(RUNNING.job_id, stopped=True, savepoint="file:///s")


def test_a_planned_stop_of_flink_forgets_a_running_job_but_not_a_stop(free_settings):
    start(free_settings)
    intent.forget(free_settings)
    assert intent.read(free_settings) is None
    with intent.stopping(free_settings, RUNNING.job_id):
        pass
    intent.forget(free_settings)
    assert intent.read(free_settings).stopped


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"job_id": "x", "more": 1}'])
def test_a_damaged_file_has_no_intent(free_settings, text):
    file = paths.savepoints(free_settings) / "live-job.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert intent.read(free_settings) is None


@pytest.mark.parametrize(("stopped", "exit_code"), [(False, 1), (True, 0)])
def test_scripts_see_whether_the_job_was_stopped_on_purpose(free_settings, stopped, exit_code):
    start(free_settings)
    if stopped:
        with intent.stopping(free_settings, RUNNING.job_id):
            pass
    command = [sys.executable, "-m", "streaming.job.intent"]
    process = subprocess.run(command, env={"TICK_HOME": str(free_settings.root)}, check=False)
    assert process.returncode == exit_code
