"""Client of Flink's REST API: job states, waiting, stop with savepoint, cancel, metrics."""

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from typing import Any

from contracts.config.groups.flink import FlinkSettings
from contracts.errors import JobError

TIMEOUT_S = 10.0
POLL_S = 0.5
UP = ("RUNNING", "FINISHED")  # task states
ENDED = {"FINISHED", "CANCELED", "FAILED"}
CAUSES_SHOWN = 8


class StartError(JobError):
    """A job that Flink keeps restarting did not come up in time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure after which Flink restarted a job: time (ms since 1970) and root exception."""

    time_ms: int
    cause: str


def client_options(settings: FlinkSettings) -> dict[str, str]:
    """Options of a job that Flink cancels when its client sent no heartbeat for `client_timeout_s`.

    `wait` sends the heartbeats.
    """
    return {
        "execution.attached": "true",
        "execution.shutdown-on-attached-exit": "true",
        "client.heartbeat.timeout": f"{settings.client_timeout_s * 1000:.0f} ms",
    }


def call(
    settings: FlinkSettings,
    path: str,
    body: dict[str, Any] | None = None,
    method: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """One request with a JSON object in response. Raises JobError when Flink is down or refuses."""
    return dict(_request(settings, path, body, method, timeout_s) or {})


def _request(
    settings: FlinkSettings,
    path: str,
    body: dict[str, Any] | None,
    method: str | None,
    timeout_s: float,
) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{settings.flink_url}{path}", data, {"Content-Type": "application/json"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:  # its connection would stay open: a page of errors is not read to its end
            beginning = error.read(500)
        raise JobError(f"Flink answered {error.code} to {path}: {beginning!r}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # none, or a partial one
        raise JobError(
            f"Flink does not answer at {settings.flink_url} ({error})", "start it with `tick up`"
        ) from error


def jobs(settings: FlinkSettings, timeout_s: float = TIMEOUT_S) -> list[dict[str, Any]]:
    """All jobs of the JobManager, newest first: jid, name, state, start-time, duration."""
    return sorted(
        call(settings, "/jobs/overview", timeout_s=timeout_s)["jobs"],
        key=lambda job: -int(job["start-time"]),
    )


def running_job(settings: FlinkSettings, name: str) -> str | None:
    """Id of the unfinished job of that name, None when there is none."""
    of_name = (job for job in jobs(settings) if job["name"] == name)
    return next((str(job["jid"]) for job in of_name if job["state"] not in ENDED), None)


def state(settings: FlinkSettings, job_id: str) -> str:
    """RUNNING, RESTARTING, FINISHED, FAILED …"""
    return str(call(settings, f"/jobs/{job_id}")["state"])


def wait(settings: FlinkSettings, job_id: str, timeout_s: float) -> None:
    """Wait for a bounded job to finish, and send Flink client heartbeats meanwhile.

    Raises JobError with the root cause when the job fails, or after the timeout.
    """
    deadline = time.monotonic() + timeout_s
    while (job := call(settings, f"/jobs/{job_id}"))["state"] not in ENDED:
        if time.monotonic() > deadline:
            raise JobError(
                f"job {job_id} is still {job['state']} after {timeout_s:.0f} s",
                "see `tick logs taskmanager`",
            )
        report_client(settings, job_id, job["now"])
        time.sleep(POLL_S)
    if job["state"] != "FINISHED":
        raise JobError(
            f"job {job_id} ended {job['state']}:\n{root_cause(settings, job_id)}",
            "see `tick logs taskmanager`",
        )


def report_client(settings: FlinkSettings, job_id: str, now_ms: int) -> None:
    """Send the client heartbeat of a job with `client_options`; `now_ms` is Flink's clock."""
    body = {"expiredTimestamp": now_ms + int(settings.client_timeout_s * 1000)}
    with contextlib.suppress(JobError):  # the job just ended or Flink is down: the next poll shows
        call(settings, f"/jobs/{job_id}/clientHeartbeat", body, "PATCH")


def wait_running(settings: FlinkSettings, job_id: str, timeout_s: float) -> None:
    """Wait until every task of a streaming job runs, or has finished as a bounded reader does.

    A REST error is retried until `timeout_s` is over: a loaded JobManager answers late or not at
    all while the job is healthy. Raises StartError when the job has failed and is still not running
    by then; JobError when it ended, when it is slow without a failure, or when its state is
    unknown.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        job, problem = _look_up(settings, job_id)
        if _is_up(job):
            return
        if job.get("state") in ENDED:
            raise JobError(
                f"job {job_id} is {job['state']}, not running:\n{root_cause(settings, job_id)}",
                "see `tick logs taskmanager`",
            )
        if time.monotonic() > deadline:
            raise problem or _not_up(settings, job_id, job["state"], timeout_s)
        time.sleep(POLL_S)


def _is_up(job: dict[str, Any]) -> bool:
    """Whether a job, or {} where its state is unknown, is RUNNING with all of its tasks."""
    if job.get("state") != "RUNNING":
        return False
    return all(vertex["status"] in UP for vertex in job["vertices"])


def _look_up(settings: FlinkSettings, job_id: str) -> tuple[dict[str, Any], JobError | None]:
    """The job, or why its state is unknown."""
    try:
        return call(settings, f"/jobs/{job_id}"), None
    except JobError as error:
        why = f"the state of job {job_id} is unknown: {error.message}"
        return {}, JobError(why, "the job was not cancelled; see `tick status`, `tick job status`")


def _not_up(settings: FlinkSettings, job_id: str, state: str, timeout_s: float) -> JobError:
    """StartError when the job has failed, else JobError, because it may still come up."""
    if cause := _failure(settings, job_id):
        why = f"job {job_id} is {state}, not running, after {timeout_s:.0f} s:\n{cause}"
        return StartError(why, "see `tick logs taskmanager`")
    why = (
        f"job {job_id} is {state}, but not every task runs after {timeout_s:.0f} s; no failure"
        " recorded"
    )
    return JobError(why, "it was not cancelled; see `tick job status`, `tick status`")


def tasks(settings: FlinkSettings, job_id: str) -> tuple[int, int]:
    """(finished, all) tasks of a job: the progress of a batch job."""
    counts: Counter[str] = Counter()
    for vertex in call(settings, f"/jobs/{job_id}")["vertices"]:
        counts.update(vertex["tasks"])
    return counts["FINISHED"], max(1, counts.total())


def root_cause(settings: FlinkSettings, job_id: str) -> str:
    """The newest failure of a job, reduced to its causes."""
    return _failure(settings, job_id) or "no failure recorded"


def _failure(settings: FlinkSettings, job_id: str) -> str | None:
    newest = next(iter(_exceptions(settings, f"/jobs/{job_id}/exceptions")), {})
    return "\n".join(_causes(_stacktrace(newest))[:CAUSES_SHOWN]) or None


def _exceptions(
    settings: FlinkSettings, path: str, timeout_s: float = TIMEOUT_S
) -> list[dict[str, Any]]:
    """The exception history of a job, newest first."""
    history = call(settings, path, timeout_s=timeout_s).get("exceptionHistory", {})
    return list(history.get("entries", ()))


def _stacktrace(entry: dict[str, Any]) -> str:
    return str(entry.get("stacktrace", ""))


def failures(
    settings: FlinkSettings, job_id: str, count_max: int, timeout_s: float = TIMEOUT_S
) -> list[Failure]:
    """The newest failures of a job, newest first. Flink keeps 16 per job."""
    path = f"/jobs/{job_id}/exceptions?maxExceptions={count_max}"
    entries = _exceptions(settings, path, timeout_s)
    return [Failure(int(entry["timestamp"]), _root(_stacktrace(entry))) for entry in entries]


def _root(stacktrace: str) -> str:
    """The innermost exception of a Java stack trace, without its frames."""
    return (_causes(stacktrace) or [""])[-1].removeprefix("Caused by: ")


def _causes(stacktrace: str) -> list[str]:
    """The exceptions of a Java stack trace, outermost first, without their frames."""
    lines = stacktrace.splitlines()
    return [*lines[:1], *(line for line in lines if line.startswith("Caused by"))]


def restarts(settings: FlinkSettings, job_id: str, timeout_s: float = TIMEOUT_S) -> int | None:
    """How often Flink has restarted a job; None while the JobManager has no count yet."""
    metrics = _request(settings, f"/jobs/{job_id}/metrics?get=numRestarts", None, None, timeout_s)
    if not metrics or not str(metrics[0].get("value", "")).isdigit():
        return None
    return int(metrics[0]["value"])


def stop_with_savepoint(settings: FlinkSettings, job_id: str, timeout_s: float) -> str:
    """Stop a job with a savepoint and wait for its end; returns the savepoint's location.

    Raises JobError when Flink could not take it.
    """
    trigger = call(settings, f"/jobs/{job_id}/stop", {"drain": False})["request-id"]
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        response = call(settings, f"/jobs/{job_id}/savepoints/{trigger}")
        if response["status"]["id"] == "COMPLETED":
            location = _savepoint_location(response["operation"])
            # The job runs on for a moment after its savepoint is complete.
            wait_for_end(settings, job_id, deadline)
            return location
        time.sleep(POLL_S)
    raise JobError(
        f"no savepoint within {timeout_s:.0f} s",
        "the job may still be stopping; see `tick job status`",
    )


def _savepoint_location(operation: dict[str, Any]) -> str:
    if "location" not in operation:
        raise JobError(
            f"the savepoint failed: {str(operation.get('failure-cause'))[:500]}",
            "the job still runs; see `tick logs taskmanager`",
        )
    return str(operation["location"])


def wait_for_end(settings: FlinkSettings, job_id: str, deadline: float) -> None:
    """Wait for the end of a job until `deadline` (monotonic). Raises JobError."""
    while (now := state(settings, job_id)) not in ENDED:
        if time.monotonic() > deadline:
            raise JobError(f"job {job_id} is still {now}, not ended", "see `tick job status`")
        time.sleep(POLL_S)


def cancel(settings: FlinkSettings, job_id: str) -> None:
    """Cancel without a savepoint; the newest retained checkpoint stays."""
    call(settings, f"/jobs/{job_id}?mode=cancel", method="PATCH")
