"""Flink's responses as the REST client reads them: progress, causes, savepoints, errors."""

from collections.abc import Iterator

import pytest

from contracts.config.settings import Settings
from contracts.errors import JobError
from feature_store.flink import rest as flink_rest
from tests.support.flink_server import JOB_ID, FlinkServer, flink_server
from tests.support.scripted_flink import LOST, TRUNCATED, Script, scripted_flink

TRACE = """java.lang.RuntimeException: the job failed
\tat org.apache.flink.A.run(A.java:1)
Caused by: java.io.IOException: disk
\tat x
Caused by: java.lang.Error: no space left
\tat y"""


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted_flink() as script:
        yield script


@pytest.fixture
def settings(script: Script) -> Settings:
    return Settings(flink_port=script.port)


@pytest.fixture
def server() -> Iterator[FlinkServer]:
    with flink_server() as server:
        yield server


def overview(*jobs: tuple[str, str, int]) -> tuple[int, dict]:
    fields = ("name", "state", "start-time")
    return 200, {
        "jobs": [dict(zip(fields, job, strict=True)) | {"jid": job[0] + job[1]} for job in jobs]
    }


def failing(trace: str = TRACE) -> tuple[int, dict]:
    entries = [{"timestamp": 2, "stacktrace": trace}, {"timestamp": 1, "stacktrace": "older"}]
    return 200, {"exceptionHistory": {"entries": entries}}


def vertices(*counts: dict[str, int]) -> tuple[int, dict]:
    return 200, {"state": "RUNNING", "now": 0, "vertices": [{"tasks": count} for count in counts]}


def test_jobs_come_newest_first(script, settings):
    script.overview = overview(("a", "RUNNING", 1), ("b", "FAILED", 3), ("c", "RUNNING", 2))
    assert [job["name"] for job in flink_rest.jobs(settings)] == ["b", "c", "a"]


def test_the_running_job_is_the_newest_unfinished_one_of_the_name(script, settings):
    script.overview = overview(
        ("mine", "RUNNING", 1),
        ("mine", "RESTARTING", 2),
        ("mine", "FAILED", 3),
        ("other", "RUNNING", 4),
    )
    assert flink_rest.running_job(settings, "mine") == "mineRESTARTING"
    assert flink_rest.running_job(settings, "none") is None


@pytest.mark.parametrize("ended", sorted(flink_rest.ENDED))
def test_a_job_that_ended_is_not_running(script, settings, ended):
    script.overview = overview(("mine", ended, 1))
    assert flink_rest.running_job(settings, "mine") is None


def test_the_state_is_that_of_the_job(script, settings):
    script.job.append((200, {"state": "CANCELLING"}))
    assert flink_rest.state(settings, "j") == "CANCELLING"


def test_progress_counts_the_tasks_of_every_vertex(script, settings):
    script.job.append(
        vertices({"FINISHED": 2, "RUNNING": 1, "CREATED": 0}, {"FINISHED": 1, "CREATED": 4})
    )
    assert flink_rest.tasks(settings, "j") == (3, 8)


def test_progress_of_a_job_without_tasks_can_be_divided(script, settings):
    script.job.append(vertices())
    assert flink_rest.tasks(settings, "j") == (0, 1)


def test_the_root_cause_names_the_exceptions_of_the_newest_failure_without_frames(script, settings):
    script.exceptions = failing()
    assert flink_rest.root_cause(settings, "j").splitlines() == [
        "java.lang.RuntimeException: the job failed",
        "Caused by: java.io.IOException: disk",
        "Caused by: java.lang.Error: no space left",
    ]


def test_a_long_chain_of_causes_is_cut(script, settings):
    script.exceptions = failing("\n".join(["first", *(f"Caused by: {i}" for i in range(50))]))
    causes = flink_rest.root_cause(settings, "j").splitlines()
    assert len(causes) == flink_rest.CAUSES_SHOWN and causes[-1] == "Caused by: 6"


@pytest.mark.parametrize(
    "history",
    [{}, {"exceptionHistory": {}}, {"exceptionHistory": {"entries": []}}, failing("")[1]],
    ids=["nothing", "no entries", "empty", "no stack trace"],
)
def test_without_a_failure_there_is_no_cause(script, settings, history):
    script.exceptions = 200, history
    assert flink_rest.root_cause(settings, "j") == "no failure recorded"


def test_failures_have_their_time_and_innermost_exception(server):
    server.failed_ms = [7, 5]
    settings = Settings(flink_port=server.port)
    assert flink_rest.failures(settings, JOB_ID, 16) == [
        flink_rest.Failure(7, "c.D: inner"),
        flink_rest.Failure(5, "c.D: inner"),
    ]


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (12, 12), ("", None), ("NaN", None)])
def test_restarts_are_a_count_or_unknown(server, count, expected):
    server.restarts = count
    assert flink_rest.restarts(Settings(flink_port=server.port), JOB_ID) == expected


def test_a_bounded_job_that_finishes_is_waited_for_with_heartbeats(script, settings, monkeypatch):
    monkeypatch.setattr(flink_rest, "POLL_S", 0.0)
    script.job += [vertices(), vertices(), (200, {"state": "FINISHED"})]
    flink_rest.wait(settings, "j", 60)
    assert script.cancelled == 2, "one PATCH with a client heartbeat per poll"


def test_a_refused_heartbeat_does_not_end_the_wait(script, settings, monkeypatch):
    monkeypatch.setattr(flink_rest, "POLL_S", 0.0)
    script.cancel = 404, {}
    script.job += [vertices(), (200, {"state": "FINISHED"})]
    flink_rest.wait(settings, "j", 60)


@pytest.mark.parametrize("ended", ["FAILED", "CANCELED"])
def test_a_bounded_job_that_does_not_finish_is_an_error_with_its_cause(script, settings, ended):
    script.job.append((200, {"state": ended}))
    script.exceptions = failing()
    with pytest.raises(JobError, match=f"job j ended {ended}:\n.*\n.*\n.*no space left") as error:
        flink_rest.wait(settings, "j", 60)
    assert error.value.hint == "see `tick logs taskmanager`"


def test_a_bounded_job_that_takes_too_long_is_given_up_with_its_state(script, settings):
    script.job.append(vertices())
    with pytest.raises(JobError, match="job j is still RUNNING after -1 s"):
        flink_rest.wait(settings, "j", -1)


def test_a_job_that_keeps_failing_is_a_start_error_with_its_cause(script, settings):
    script.job.append((200, {"state": "RESTARTING", "vertices": []}))
    script.exceptions = failing()
    with pytest.raises(flink_rest.StartError, match=r"is RESTARTING, not running(.|\n)*no space"):
        flink_rest.wait_running(settings, "j", -1)


def test_a_slow_job_without_a_failure_is_not_a_start_error(script, settings):
    """A start error makes the caller cancel the job, but this one may still come up."""
    script.job.append((200, {"state": "CREATED", "vertices": []}))
    with pytest.raises(JobError, match="no failure recorded") as error:
        flink_rest.wait_running(settings, "j", -1)
    assert not isinstance(error.value, flink_rest.StartError)
    assert error.value.hint.startswith("it was not cancelled")


def test_a_job_whose_state_is_unknown_is_not_a_start_error(script, settings):
    script.job.append((503, {}))
    with pytest.raises(
        JobError, match="the state of job j is unknown: Flink answered 503"
    ) as error:
        flink_rest.wait_running(settings, "j", -1)
    assert not isinstance(error.value, flink_rest.StartError)


@pytest.mark.parametrize("status", [500, LOST, TRUNCATED])
def test_a_flink_that_answers_badly_once_is_asked_again(script, settings, monkeypatch, status):
    monkeypatch.setattr(flink_rest, "POLL_S", 0.0)
    script.job += [(status, {}), (200, {"state": "RUNNING", "vertices": [{"status": "RUNNING"}]})]
    flink_rest.wait_running(settings, "j", 60)
    assert len(script.job) == 1


def test_a_savepoint_that_failed_is_an_error_and_the_job_still_runs(script, settings):
    operation = {"failure-cause": {"class": "X", "stack-trace": "no space left"}}
    script.savepoint = 200, {"status": {"id": "COMPLETED"}, "operation": operation}
    with pytest.raises(JobError, match=r"the savepoint failed: .*no space left") as error:
        flink_rest.stop_with_savepoint(settings, "j", 10)
    assert error.value.hint.startswith("the job still runs")


def test_a_savepoint_in_progress_is_polled(script, settings, monkeypatch):
    monkeypatch.setattr(flink_rest, "POLL_S", 0.02)
    script.savepoint = 200, {"status": {"id": "IN_PROGRESS"}}
    with pytest.raises(JobError, match="no savepoint within 0 s") as error:
        flink_rest.stop_with_savepoint(settings, "j", 0.05)
    assert "tick job status" in error.value.hint


def test_cancel_sends_one_request(script, settings):
    flink_rest.cancel(settings, "j")
    assert script.cancelled == 1


def test_a_refusal_is_an_error_with_status_path_and_text(script, settings):
    script.job.append((404, {"errors": ["Job j not found"]}))
    with pytest.raises(JobError, match=r"Flink answered 404 to /jobs/j: .*Job j not found"):
        flink_rest.call(settings, "/jobs/j")


def test_an_error_page_is_cut(script, settings):
    script.job.append((500, {"errors": ["x" * 100_000]}))
    with pytest.raises(JobError) as error:
        flink_rest.call(settings, "/jobs/j")
    assert len(error.value.message) < 600


@pytest.mark.parametrize("status", [LOST, TRUNCATED])
def test_a_lost_response_names_flink_and_the_way_to_start_it(script, settings, status):
    script.job.append((status, {"state": "RUNNING"}))
    with pytest.raises(JobError, match=f"does not answer at .*:{script.port}") as error:
        flink_rest.call(settings, "/jobs/j")
    assert error.value.hint == "start it with `tick up`"


def test_the_client_options_end_a_job_whose_client_is_gone():
    options = flink_rest.client_options(Settings(client_timeout_s=90))
    assert options["client.heartbeat.timeout"] == "90000 ms"
    assert options["execution.shutdown-on-attached-exit"] == options["execution.attached"] == "true"
