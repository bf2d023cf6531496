"""Whether a live job does all of its work, from Flink's responses and the lags of its groups."""

from collections.abc import Iterator

import pytest

from contracts import live_job
from contracts.config.settings import Settings
from contracts.errors import JobError, ServiceError
from feature_store.flink.consumer_lag import MONITORED, GroupLag
from feature_store.flink.job_health import FAILURE_WINDOW_S, JobHealth, examine
from streaming.job import job
from tests.support.flink_server import FlinkServer, flink_server

NOW_MS = 1_800_000_000_000
LIMIT = 1000


class Lags:
    """Configurable lags; an error is raised."""

    def __init__(self, **messages: int) -> None:
        self.messages, self.error = messages, None

    def read(self) -> tuple[GroupLag, ...]:
        if self.error is not None:
            raise self.error
        behind = {group: self.messages.get(group.replace("-", "_"), 0) for group, _ in MONITORED}
        return tuple(GroupLag(group, topic, behind[group]) for group, topic in MONITORED)


@pytest.fixture
def flink() -> Iterator[FlinkServer]:
    with flink_server() as server:
        yield server


def health(flink: FlinkServer, lags: Lags | None = None) -> JobHealth:
    settings = Settings(flink_port=flink.port, consumer_lag_max=LIMIT)
    return examine(settings, lags or Lags(), NOW_MS, 5)


def test_a_job_whose_warm_up_has_ended_is_well(flink):
    seen = health(flink)
    assert seen.problems == ()
    assert seen.readers == {"wire": True, "wire_warm": True, "wire_raw": True, "served": True}
    assert [vertex.label for vertex in seen.vertices if not vertex.tables] == [
        "Calc[7]",
        "GlobalWindowAggregate[13]",
    ]


MUST_RUN = {"ticks": "wire", "raw": "wire_raw", "served": "served"}


@pytest.mark.parametrize(("key", "table"), MUST_RUN.items())
def test_every_other_reader_must_not_have_ended(flink, key, table):
    flink.vertices[key] = {"FINISHED": 2}
    seen = health(flink)
    assert seen.problems == (f"reader {table} has FINISHED (2 of 2 tasks) but must run",)
    assert [name for name, works in seen.readers.items() if not works] == [table]


def test_one_ended_task_of_a_reader_is_enough(flink):
    """Flink reports such a vertex as RUNNING, although nothing reads that task's partitions."""
    flink.vertices["raw"] = {"RUNNING": 1, "FINISHED": 1}
    assert health(flink).problems == ("reader wire_raw has FINISHED (1 of 2 tasks) but must run",)


def test_what_both_readers_feed_must_not_have_ended(flink):
    flink.vertices["windows"] = {"FINISHED": 2}
    (problem,) = health(flink).problems
    assert problem == "GlobalWindowAggregate[13] has FINISHED (2 of 2 tasks) but must run"


def test_a_failed_task_is_reported(flink):
    flink.vertices["served"] = {"FAILED": 1, "RUNNING": 1}
    assert health(flink).problems == ("reader served is RUNNING (1 of 2 tasks run)",)


@pytest.mark.parametrize("state", ["RESTARTING", "FAILED", "CANCELED", "FAILING"])
def test_a_job_must_be_running(flink, state):
    flink.state = state
    assert f"the job is {state}" in health(flink).problems


def test_a_flink_without_the_live_job_is_reported(flink):
    flink.name = "backfill"
    assert health(flink).problems == ("Flink has no live job",)


def test_three_failures_in_ten_minutes_are_a_problem_and_older_ones_are_none(flink):
    old = NOW_MS - int(FAILURE_WINDOW_S * 1000) - 1
    flink.failed_ms, flink.restarts = [NOW_MS - 1, NOW_MS - 2, old, old], 4
    seen = health(flink)
    assert (seen.problems, seen.failures, seen.restarts, seen.newest_failure) == (
        (),
        2,
        4,
        "c.D: inner",
    )
    flink.failed_ms[2] = NOW_MS - 3
    assert health(flink).problems == ("it failed 3 times within 10 minutes",)


def test_every_group_has_the_same_limit_but_the_warm_up_which_catches_up_once(flink):
    assert health(flink, Lags(tick_job=LIMIT, online_writer=LIMIT)).problems == ()
    behind = {group.replace("-", "_"): LIMIT + 1 for group, _ in MONITORED}
    assert [problem.split()[1] for problem in health(flink, Lags(**behind)).problems] == [
        "tick-job",
        "tick-job-raw",
        "tick-job-predictions",
        "online-writer",
    ]


def test_lags_that_cannot_be_had_are_a_problem_next_to_the_others(flink):
    lags = Lags()
    lags.error = ServiceError("Kafka does not answer")
    flink.vertices["raw"] = {"FINISHED": 2}
    seen = health(flink, lags)
    assert seen.lags is None
    assert seen.problems == (
        "reader wire_raw has FINISHED (2 of 2 tasks) but must run",
        "Kafka does not answer",
    )


def test_a_flink_that_hangs_is_given_up_after_the_time_out(flink):
    flink.hanging.set()
    with pytest.raises(JobError, match="does not answer"):
        examine(Settings(flink_port=flink.port), Lags(), NOW_MS, 0.2)


def test_the_readers_are_those_of_the_program():
    """A new source of the job must be declared, because health checks and restore use its name."""
    program = job.program(Settings())
    tables = [text.split()[2] for text in program.ddl if "properties.group.id" in text]
    assert sorted(tables) == sorted(reader.table for reader in live_job.READERS)
    bounded = [text.split()[2] for text in program.ddl if "scan.bounded.mode" in text]
    assert tuple(bounded) == live_job.ENDING_READERS == program.may_finish
