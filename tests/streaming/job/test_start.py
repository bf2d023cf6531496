"""Waiting for a submitted job: REST errors are retried; a job that failed is cancelled."""

from collections.abc import Iterator

import pytest

from contracts.config.settings import Settings
from contracts.errors import JobError
from streaming.job import job
from tests.support.scripted_flink import LOST, TRUNCATED, Script, scripted_flink

FAILURE = {
    "exceptionHistory": {
        "entries": [{"stacktrace": "java.lang.Exception: x\nCaused by: StateMigrationException"}]
    }
}
SHORT_S = 1.0  # three polls


@pytest.fixture
def flink() -> Iterator[Script]:
    with scripted_flink() as script:
        yield script


def answer(state: str, *tasks: str) -> tuple[int, dict]:
    return 200, {"state": state, "vertices": [{"status": status} for status in tasks]}


def await_start(flink: Script, timeout_s: float = 30) -> None:
    job.await_start(Settings(flink_port=flink.port), "j", timeout_s)


@pytest.mark.parametrize("error", [404, 500, 503, LOST, TRUNCATED])
def test_a_healthy_job_survives_a_rest_error(flink, error):
    flink.job += [answer("CREATED", "CREATED"), (error, {}), answer("RUNNING", "RUNNING")]
    await_start(flink)
    assert (len(flink.job), flink.cancelled) == (1, 0)


@pytest.mark.parametrize("error", [404, 503, LOST])
def test_a_job_is_not_cancelled_when_rest_stays_unreachable(flink, error):
    flink.job += [answer("RUNNING", "DEPLOYING"), (error, {})]
    flink.exceptions = (error, {})
    with pytest.raises(JobError, match="tick job status"):
        await_start(flink, SHORT_S)
    assert flink.cancelled == 0


def test_a_job_that_fails_again_and_again_is_cancelled(flink):
    flink.job.append(answer("RESTARTING", "CREATED"))
    flink.exceptions = (200, FAILURE)
    with pytest.raises(JobError, match="RESTARTING.*\n.*\n.*StateMigrationException"):
        await_start(flink, SHORT_S)
    assert flink.cancelled == 1


def test_its_failure_is_reported_also_when_the_cancellation_fails(flink):
    flink.job.append(answer("RESTARTING", "CREATED"))
    flink.exceptions, flink.cancel = (200, FAILURE), (503, {})
    with pytest.raises(JobError, match="StateMigrationException"):
        await_start(flink, SHORT_S)
    assert flink.cancelled == 1


def test_a_slow_job_without_a_failure_is_left_alone(flink):
    flink.job.append(answer("RUNNING", "INITIALIZING"))
    with pytest.raises(JobError, match="no failure recorded"):
        await_start(flink, SHORT_S)
    assert flink.cancelled == 0


def test_a_job_that_ended_is_reported_with_its_failure(flink):
    flink.job.append(answer("FAILED", "FAILED"))
    flink.exceptions = (200, FAILURE)
    flink.cancel = (409, {})  # Flink's answer for a job that has ended
    with pytest.raises(JobError, match="FAILED.*\n.*\n.*StateMigrationException"):
        await_start(flink)
    assert flink.cancelled == 0
