"""When the comparison begins and ends, and what stops it."""

import time

import pytest

from contracts.errors import JobError
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.flink import rest as flink_rest
from lakehouse.tables import Lakehouse
from streaming.upgrade import stretch
from streaming.upgrade.stretch import Stretch
from tests.support import parity_tables

S = 1_000_000
BEGIN_S = 1_000


class Topic:
    """Rows of one job: each poll returns those of the next second of event time."""

    def __init__(self, first_s, last_s, silent=()) -> None:
        self._seconds, self._silent = iter(range(first_s, last_s + 1)), silent
        self.reached_us = 0

    def poll(self):
        second = next(self._seconds, None)
        if second is None:
            return []
        self.reached_us = second * S
        return [] if second in self._silent else [row(second)]


def row(second):
    place = {"view": "tick_1s", "symbol": "V:A", "event_time_ms": second * 1000, "warm_s": 9}
    return place | dict.fromkeys((column.name for column in columns(LEVELS[0])), 1.0)


@pytest.fixture
def jobs(monkeypatch):
    """The states of the live job and the shadow."""
    states = {"live": "RUNNING", "shadow": "RUNNING"}
    monkeypatch.setattr(flink_rest, "state", lambda _s, job_id: states[job_id])
    monkeypatch.setattr(flink_rest, "root_cause", lambda *_: "the cause")
    monkeypatch.setattr(stretch, "await_checkpoints", lambda *_: None)
    return states


@pytest.fixture
def compare(make_settings, jobs):
    settings = make_settings(upgrade_stretch_s=20, upgrade_timeout_s=10)
    Lakehouse(settings).create()
    parity_tables.put_ticks(settings, parity_tables.ticks(count=5))
    steps = []
    made = Stretch(settings, None, "live", frozenset(), lambda *step: steps.append(step))

    def compare(live, shadow):
        compare.steps = steps
        return made._compare(live, shadow, "shadow")

    return compare


def test_it_begins_when_the_shadow_has_caught_up_and_ends_after_the_stretch(compare):
    """The shadow is 30 s behind at first, and then reads two seconds for each of the live job."""
    shadow = Topic(BEGIN_S - 30, BEGIN_S + 100)
    double = type("Double", (), {})()
    double.poll = lambda: shadow.poll() + shadow.poll()
    type(double).reached_us = property(lambda _: shadow.reached_us)
    result = compare(Topic(BEGIN_S, BEGIN_S + 100), double)
    assert result.to_us - result.from_us == 20 * S
    assert result.from_us >= (BEGIN_S + 20) * S
    assert (result.compared, result.unexplained) == (20, 0)
    assert compare.steps[-1] == ("comparing", 20, 20)


def test_a_row_that_never_comes_is_waited_for_and_then_missing(compare, monkeypatch):
    monkeypatch.setattr(stretch, "SETTLE_S", 0.3)
    live = Topic(BEGIN_S, BEGIN_S + 60)
    result = compare(live, Topic(BEGIN_S, BEGIN_S + 60, silent=(BEGIN_S + 10,)))
    assert (result.compared, result.rows["tick_1s"].missing) == (19, 1)


def test_a_job_that_ends_stops_it(compare, jobs):
    jobs["shadow"] = "FAILED"
    with pytest.raises(JobError, match="job shadow is FAILED:\n.*the cause"):
        compare(Topic(BEGIN_S, BEGIN_S + 5), Topic(BEGIN_S, BEGIN_S + 5))


def test_event_time_that_stands_still_stops_it(compare, monkeypatch):
    now = iter(range(0, 10_000, 4))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    with pytest.raises(JobError, match="has not advanced far enough") as told:
        compare(Topic(BEGIN_S, BEGIN_S), Topic(BEGIN_S - 60, BEGIN_S - 60))
    assert "is a feed running" in told.value.hint


def test_without_any_row_the_shadow_is_not_read(compare, monkeypatch):
    now = iter(range(0, 10_000, 4))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    shadow = Topic(BEGIN_S, BEGIN_S + 5)
    with pytest.raises(JobError, match="has not advanced"):
        compare(Topic(1, 0), shadow)
    assert shadow.reached_us == 0


@pytest.fixture
def checkpoints(monkeypatch):
    """The numbers of completed checkpoints that Flink returns, one after the other."""
    counts = []
    monkeypatch.setattr(stretch, "POLL_S", 0)
    monkeypatch.setattr(flink_rest, "call", lambda *_: {"counts": {"completed": counts.pop(0)}})
    monkeypatch.setattr(flink_rest, "state", lambda *_: "RUNNING")
    return counts


def test_further_checkpoints_count_from_now_and_those_of_a_new_job_from_its_start(
    checkpoints, free_settings
):
    checkpoints += [7, 7, 8, 9]
    stretch.await_checkpoints(free_settings, "live", 2)
    assert checkpoints == []
    checkpoints += [0, 1]
    stretch.await_checkpoints(free_settings, "new", 1)
    assert checkpoints == []


def test_the_warm_up_ends_with_the_newest_tick_even_in_a_replay_of_old_ones(free_settings):
    Lakehouse(free_settings).create()
    assert stretch.warmup_end_us(free_settings) > parity_tables.START + 10**6 * S
    ticks = parity_tables.ticks(count=5)
    parity_tables.put_ticks(free_settings, ticks)
    assert stretch.warmup_end_us(free_settings) == ticks["event_time_us"].max() + 1


def test_a_shadow_is_kept_alive_by_its_client(make_settings, monkeypatch):
    settings = make_settings(client_timeout_s=5).model_copy(update={"client_timeout_s": 0.05})
    reported = []
    monkeypatch.setattr(flink_rest, "call", lambda *_: {"now": 7})
    monkeypatch.setattr(
        flink_rest, "report_client", lambda _s, job_id, now: reported.append((job_id, now))
    )
    with stretch.kept_alive(settings, "shadow"):
        deadline = time.monotonic() + 20
        while len(reported) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert reported[:2] == [("shadow", 7)] * 2
