"""Whatever fails in a cut-over, the old program runs again, and nothing is written twice."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from contracts import live_job
from contracts.config import paths
from contracts.errors import JobError
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import RECOVERY_PATH
from lakehouse.tables import Lakehouse
from streaming.job import intent, job, offsets, stored_program, warmup
from streaming.upgrade import cut_over, stretch
from streaming.upgrade.cut_over import Running

OLD, NEW, AGAIN = "0" * 32, "1" * 32, "2" * 32
SAVEPOINT = "file:///savepoints/s"


class Flink:
    """The jobs of a Flink: state and completed checkpoints by id, and what was started."""

    def __init__(self) -> None:
        self.jobs = {OLD: "RUNNING"}
        self.checkpoints = {OLD: 9}
        self.launched, self.stop_error = [], None
        self.ids = iter([AGAIN])

    def listed(self, _settings):
        newest_first = reversed(self.jobs.items())
        return [{"jid": i, "name": live_job.NAME, "state": state} for i, state in newest_first]

    def stop(self, settings):
        if self.stop_error:
            raise self.stop_error
        self.jobs[OLD] = "FINISHED"
        intent.record_savepoint(settings, OLD, SAVEPOINT)
        return SAVEPOINT

    def cancel(self, _settings, job_id):
        self.jobs[job_id] = "CANCELED"

    def launch(self, settings, program, _child=None):
        job_id = next(self.ids)
        self.launched.append(program)
        self.jobs[job_id] = "RUNNING"
        self.checkpoints[job_id] = 1
        return job_id


@pytest.fixture
def flink(monkeypatch):
    fake = Flink()
    running = lambda s, _: next((j for j, st in fake.jobs.items() if st == "RUNNING"), None)  # noqa: E731
    monkeypatch.setattr(flink_rest, "jobs", fake.listed)
    monkeypatch.setattr(flink_rest, "running_job", running)
    monkeypatch.setattr(flink_rest, "cancel", fake.cancel)
    monkeypatch.setattr(flink_rest, "state", lambda _s, job_id: fake.jobs[job_id])
    monkeypatch.setattr(flink_rest, "root_cause", lambda *_: "the cause")
    monkeypatch.setattr(job, "stop", fake.stop)
    monkeypatch.setattr(job, "launch", fake.launch)
    monkeypatch.setattr(
        stretch, "completed_checkpoints", lambda _s, job_id: fake.checkpoints[job_id]
    )
    return fake


@pytest.fixture
def old(free_settings):
    program = job.program(free_settings)
    stored_program.record(free_settings, OLD, program)
    return Running(OLD, replace(program, inserts=("INSERT INTO old",)))


@pytest.fixture
def fresh(monkeypatch):
    """What a start without state prepares, in order."""
    done = []
    monkeypatch.setattr(offsets, "advance", lambda _s, saved: done.append(saved))
    monkeypatch.setattr(warmup, "publish", lambda *_: done.append("warm-up"))
    return done


CHILD = SimpleNamespace(reader_offsets=lambda state: {"of": state})


def test_the_new_job_is_started_after_the_savepoint(flink, free_settings, old):
    def start(savepoint):
        assert flink.jobs[OLD] == "FINISHED"
        flink.jobs[NEW], flink.checkpoints[NEW] = "RUNNING", 1
        return f"{NEW}"

    assert cut_over.cut_over(free_settings, CHILD, old, start) == NEW
    assert flink.launched == []


def test_a_stop_that_fails_leaves_the_old_job(flink, free_settings, old):
    flink.stop_error = JobError("no savepoint within 120 s")
    with pytest.raises(JobError, match=f"old program runs as {OLD}.*\n.*no savepoint"):
        cut_over.cut_over(free_settings, CHILD, old, lambda _: NEW)
    assert flink.launched == [] and flink.jobs == {OLD: "RUNNING"}


@pytest.mark.parametrize("error", [JobError("Flink rejected it"), KeyboardInterrupt()])
def test_a_program_that_is_not_accepted_continues_the_old_one(flink, free_settings, old, error):
    def start(_savepoint):
        raise error

    with pytest.raises(type(error)):
        cut_over.cut_over(free_settings, CHILD, old, start)
    (program,) = flink.launched
    assert program.inserts == old.program.inserts
    assert program.options[RECOVERY_PATH] == SAVEPOINT


def test_a_new_job_without_a_checkpoint_is_ended_before_the_old_one_continues(
    flink, free_settings, old
):
    def start(_savepoint):
        flink.jobs[NEW], flink.checkpoints[NEW] = "RUNNING", 0
        raise JobError("not every task runs")

    with pytest.raises(JobError, match=AGAIN):
        cut_over.cut_over(free_settings, CHILD, old, start)
    assert flink.jobs[NEW] == "CANCELED"
    assert flink.launched[0].options[RECOVERY_PATH] == SAVEPOINT


def test_a_new_job_that_fails_before_its_first_checkpoint_is_replaced(flink, free_settings, old):
    def start(_savepoint):
        flink.jobs[NEW], flink.checkpoints[NEW] = "FAILED", 0
        return NEW

    with pytest.raises(JobError, match="is FAILED"):
        cut_over.cut_over(free_settings, CHILD, old, start)
    assert flink.launched[0].options[RECOVERY_PATH] == SAVEPOINT


def test_after_a_checkpoint_of_the_new_job_the_old_program_starts_where_that_ends(
    flink, free_settings, old, fresh
):
    """From the old savepoint it would write to silver what the new job has written."""
    Lakehouse(free_settings).create()
    state = paths.checkpoints(free_settings) / NEW / "chk-1"
    state.mkdir(parents=True)
    (state / "_metadata").touch()

    def start(_savepoint):
        flink.jobs[NEW], flink.checkpoints[NEW] = "RUNNING", 1
        raise JobError("lost its lease")

    with pytest.raises(JobError, match=AGAIN):
        cut_over.cut_over(free_settings, CHILD, old, start)
    assert fresh == [{"of": f"file://{state}"}, "warm-up"]
    assert RECOVERY_PATH not in flink.launched[0].options
    assert flink.launched[0].inserts == old.program.inserts


def test_the_program_of_the_running_job_is_read(flink, free_settings, old):
    found = cut_over.running_job(free_settings, CHILD, start=True)
    assert found == Running(OLD, job.program(free_settings))


def test_a_job_whose_program_was_not_stored_is_refused(flink, free_settings):
    with pytest.raises(JobError, match="did not store its program") as told:
        cut_over.running_job(free_settings, CHILD, start=True)
    assert "tick job submit --fresh" in told.value.hint


def test_a_job_that_a_killed_upgrade_had_stopped_continues_with_its_program(
    flink, free_settings, old
):
    flink.stop(free_settings)
    with pytest.raises(JobError, match="not running"):
        cut_over.running_job(free_settings, CHILD, start=False)
    found = cut_over.running_job(free_settings, CHILD, start=True)
    assert found == Running(AGAIN, job.program(free_settings))
    assert flink.launched[0].options[RECOVERY_PATH] == SAVEPOINT


def test_without_job_and_savepoint_there_is_nothing_to_upgrade(flink, free_settings):
    flink.jobs.clear()
    with pytest.raises(JobError, match="not running") as told:
        cut_over.running_job(free_settings, CHILD, start=True)
    assert "tick job resume" in told.value.hint
