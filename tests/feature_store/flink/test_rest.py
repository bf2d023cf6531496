"""Waiting for a streaming job to run, and to end, against a scripted Flink."""

from collections.abc import Iterator

import pytest

from contracts.config.settings import Settings
from contracts.errors import JobError
from feature_store.flink import rest as flink_rest
from tests.support.scripted_flink import scripted_flink


@pytest.fixture
def flink() -> Iterator[tuple[Settings, list[tuple[int, dict]]]]:
    """Settings of a scripted Flink, and its script."""
    with scripted_flink() as script:
        yield Settings(flink_port=script.port), script.job


def job(state: str, *tasks: str) -> tuple[int, dict]:
    return 200, {"state": state, "vertices": [{"status": status} for status in tasks]}


def test_a_bounded_reader_that_has_ended_does_not_keep_a_job_from_running(flink):
    settings, answers = flink
    answers += [
        job("CREATED"),
        job("RUNNING", "DEPLOYING", "FINISHED"),
        job("RUNNING", "RUNNING", "FINISHED"),
    ]
    flink_rest.wait_running(settings, "j", 10)
    assert len(answers) == 1


@pytest.mark.parametrize("ended", ["FAILED", "CANCELED"])
def test_a_job_that_ended_is_said_at_once(flink, ended):
    settings, answers = flink
    answers.append(job(ended, "RUNNING"))
    with pytest.raises(JobError, match=f"is {ended}, not running"):
        flink_rest.wait_running(settings, "j", 60)


def test_one_that_never_runs_is_given_up(flink):
    settings, answers = flink
    answers.append(job("RESTARTING", "CREATED"))
    with pytest.raises(JobError, match="RESTARTING"):
        flink_rest.wait_running(settings, "j", 0.2)


def test_a_job_that_is_stopped_has_ended():
    """Flink reports a savepoint as COMPLETED while the job still runs."""
    with scripted_flink() as script:
        taken = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/savepoint"}}
        script.savepoint = 200, taken
        script.job += [job("RUNNING"), job("FINISHED")]
        settings = Settings(flink_port=script.port)
        assert flink_rest.stop_with_savepoint(settings, "j", 10) == "file:/savepoint"
        assert script.job == [job("FINISHED")]
        script.job[:] = [job("RUNNING")]
        with pytest.raises(JobError, match="still RUNNING, not ended"):
            flink_rest.stop_with_savepoint(settings, "j", 0.2)
