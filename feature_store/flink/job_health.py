"""Health of the live job: its vertices, its restarts and the lag of its consumer groups.

Flink reports a job as RUNNING while any of its tasks runs: a reader that has finished for good
shows only in the task counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts import live_job
from contracts.config.groups.flink import FlinkSettings
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from feature_store.flink import rest as flink_rest
from feature_store.flink.consumer_lag import ConsumerLags, GroupLag
from feature_store.flink.state import SOURCE

# A killed process is one failure, sometimes two; three within ten minutes have a lasting cause.
FAILURES_MAX = 2
FAILURE_WINDOW_S = 600.0
FAILURE_WINDOW_MS = FAILURE_WINDOW_S * 1000
BOUNDED_GROUPS = frozenset(reader.group for reader in live_job.READERS if reader.bounded)
EXCEPTIONS_MAX = 16  # how many Flink keeps per job


@dataclass(frozen=True, slots=True)
class Vertex:
    """Operators that run as one task; `readers` are the tables of all sources in it or upstream."""

    name: str
    status: str
    tasks: int
    running: int
    finished: int
    readers: tuple[str, ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that this vertex reads itself."""
        return tuple(SOURCE.findall(self.name))

    @property
    def may_finish(self) -> bool:
        """Whether it may finish while the job runs: only bounded readers feed it."""
        return bool(self.readers) and set(self.readers) <= set(live_job.ENDING_READERS)

    @property
    def works(self) -> bool:
        """Whether every task runs, or has finished and may."""
        return self.running + (self.finished if self.may_finish else 0) == self.tasks

    @property
    def label(self) -> str:
        """Its tables if it reads any, else its first operator."""
        return "reader " + ", ".join(self.tables) if self.tables else self.name.split(" -> ")[0]

    @property
    def problem(self) -> str:
        """What is wrong with a vertex that does not work, in one sentence."""
        if self.finished and not self.may_finish:
            return f"{self.label} has FINISHED ({self.finished} of {self.tasks} tasks) but must run"
        return f"{self.label} is {self.status} ({self.running} of {self.tasks} tasks run)"


@dataclass(frozen=True, slots=True)
class JobHealth:
    """The live job at one moment.

    `state` is None when Flink has no such job, `lags` when Kafka did not answer, `restarts` while
    the JobManager has no count yet. `failures` counts those of the last ten minutes.
    """

    state: str | None
    job_id: str | None = None
    restarts: int | None = None
    failures: int = 0
    newest_failure: str | None = None
    vertices: tuple[Vertex, ...] = ()
    lags: tuple[GroupLag, ...] | None = None
    problems: tuple[str, ...] = ()

    @property
    def readers(self) -> dict[str, bool]:
        """For each table that the job reads: whether its reader works."""
        return {table: vertex.works for vertex in self.vertices for table in vertex.tables}


def examine(
    settings: Settings,
    lags: ConsumerLags,
    now_ms: int,
    timeout_s: float = flink_rest.TIMEOUT_S,
) -> JobHealth:
    """The health of the newest live job. Raises JobError when Flink does not answer.

    Sends Flink four requests of up to `timeout_s` each.
    """
    job_id = _newest_live_job(settings, timeout_s)
    if job_id is None:
        return JobHealth(None, problems=("Flink has no live job",))
    job = flink_rest.call(settings, f"/jobs/{job_id}", timeout_s=timeout_s)
    history = flink_rest.failures(settings, job_id, EXCEPTIONS_MAX, timeout_s)
    failures = sum(failure.time_ms >= now_ms - FAILURE_WINDOW_MS for failure in history)
    group_lags, kafka_problems = _read_lags(lags)
    state, vertices = str(job["state"]), vertices_of(job)
    problems = (
        *_state_problems(state, failures),
        *(vertex.problem for vertex in vertices if not vertex.works),
        *lag_problems(group_lags or (), settings.consumer_lag_max),
        *kafka_problems,
    )
    return JobHealth(
        state=state,
        job_id=job_id,
        restarts=flink_rest.restarts(settings, job_id, timeout_s),
        failures=failures,
        newest_failure=history[0].cause if history else None,
        vertices=vertices,
        lags=group_lags,
        problems=problems,
    )


def _newest_live_job(settings: FlinkSettings, timeout_s: float) -> str | None:
    jobs = flink_rest.jobs(settings, timeout_s)
    return next((str(job["jid"]) for job in jobs if job["name"] == live_job.NAME), None)


def _read_lags(lags: ConsumerLags) -> tuple[tuple[GroupLag, ...] | None, tuple[str, ...]]:
    try:
        return lags.read(), ()
    except ServiceError as error:
        return None, (error.message,)


def vertices_of(job: Mapping[str, Any]) -> tuple[Vertex, ...]:
    """The vertices in Flink's response to `/jobs/ID`, those with sources first."""
    inputs = {node["id"]: _input_ids(node) for node in job["plan"]["nodes"]}
    names = {vertex["id"]: str(vertex["name"]) for vertex in job["vertices"]}
    vertices = [
        _vertex(vertex, _readers(vertex["id"], inputs, names)) for vertex in job["vertices"]
    ]
    return tuple(sorted(vertices, key=lambda vertex: not vertex.tables))


def _vertex(vertex: Mapping[str, Any], readers: tuple[str, ...]) -> Vertex:
    return Vertex(
        name=str(vertex["name"]),
        status=str(vertex["status"]),
        tasks=int(vertex["parallelism"]),
        running=int(vertex["tasks"]["RUNNING"]),
        finished=int(vertex["tasks"]["FINISHED"]),
        readers=readers,
    )


def _input_ids(node: Mapping[str, Any]) -> list[str]:
    return [edge["id"] for edge in node.get("inputs", ())]


def _readers(
    vertex: str,
    inputs: Mapping[str, Sequence[str]],
    names: Mapping[str, str],
) -> tuple[str, ...]:
    """Tables of the sources in a vertex and upstream of it."""
    seen, waiting = {vertex}, [vertex]
    while waiting:
        upstream = [other for other in inputs.get(waiting.pop(), ()) if other not in seen]
        seen.update(upstream)
        waiting += upstream
    return tuple(sorted({table for each in seen for table in SOURCE.findall(names[each])}))


def _state_problems(state: str, failures: int) -> list[str]:
    problems = [] if state == "RUNNING" else [f"the job is {state}"]
    if failures > FAILURES_MAX:
        problems.append(f"it failed {failures} times within {FAILURE_WINDOW_S / 60:.0f} minutes")
    return problems


def lag_problems(lags: Sequence[GroupLag], messages_max: int) -> list[str]:
    """Groups that are too far behind. A bounded reader catches up once, so it has no limit."""
    return [
        f"group {lag.group} is {lag.messages:,} messages behind (limit {messages_max:,})"
        for lag in lags
        if lag.messages > messages_max and lag.group not in BOUNDED_GROUPS
    ]
