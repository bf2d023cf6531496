"""The route of an upgrade: nothing to do, from the state, or after a comparison."""

from dataclasses import replace

import pytest

from contracts.errors import JobError
from feature_store.flink.program import RECOVERY_PATH
from lakehouse import leases
from streaming.job import job, offsets, warmup
from streaming.upgrade import shadow, stretch, upgrade
from streaming.upgrade.comparison import Result
from streaming.upgrade.cut_over import Running
from streaming.upgrade.upgrade import Route

SAVEPOINT = "file:///savepoints/s"


class Planner:
    """Stands for the JVM that plans and submits."""

    def __init__(self, _settings=None) -> None:
        self.planned, self.error = [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def plan(self, program):
        self.planned.append(program.name)
        if self.error:
            raise self.error

    def reader_offsets(self, state):
        return {"of": state}


class World:
    """What an upgrade would do, in order, and the running job's program."""

    def __init__(self, settings) -> None:
        self.program, self.steps, self.planner = job.program(settings), [], Planner()
        self.result = Result(0, 1)
        self.result.rows["tick_1s"].compared = 10

    def launch(self, _settings, program, _child=None):
        self.steps.append(("launch", program.options.get(RECOVERY_PATH)))
        return "new"

    def cut_over(self, _settings, _child, _old, start):
        return start(SAVEPOINT)

    def compare(self, _shadow, _program):
        self.steps.append("compare")
        return self.result


@pytest.fixture
def world(free_settings, monkeypatch):
    made = World(free_settings)
    monkeypatch.setattr(upgrade, "Submitter", lambda _settings: made.planner)
    monkeypatch.setattr(upgrade, "running_job", lambda *_, **__: Running("old", made.program))
    monkeypatch.setattr(upgrade, "cut_over", made.cut_over)
    monkeypatch.setattr(stretch.Stretch, "compare", made.compare)
    monkeypatch.setattr(job, "launch", made.launch)
    monkeypatch.setattr(offsets, "advance", lambda _s, saved: made.steps.append(saved))
    monkeypatch.setattr(warmup, "publish", lambda *_: made.steps.append("warm-up"))
    return made


def change(world):
    world.program = replace(world.program, inserts=world.program.inserts[:-1])


def run(settings, **options):
    return upgrade.upgrade(settings, 1, **options)


def test_the_same_program_needs_nothing(world, free_settings):
    outcome = run(free_settings)
    assert (outcome.route, outcome.upgraded, world.steps) == (Route.NONE, False, [])


def test_a_program_that_fits_the_state_continues_from_the_savepoint(world, free_settings):
    world.program = replace(world.program, options=dict(world.program.options) | {"x": "y"})
    outcome = run(free_settings)
    assert (outcome.route, outcome.job_id, outcome.upgraded) == (Route.STATE, "new", True)
    assert world.steps == [("launch", SAVEPOINT)]


def test_another_program_is_compared_and_starts_at_the_savepoint_without_state(
    world, free_settings
):
    change(world)
    outcome = run(free_settings)
    assert (outcome.route, outcome.job_id, outcome.upgraded) == (Route.SHADOW, "new", True)
    assert world.steps == ["compare", {"of": SAVEPOINT}, "warm-up", ("launch", None)]


@pytest.mark.parametrize(("compared", "missing"), [(0, 0), (10, 1)])
def test_differences_or_nothing_to_compare_refuse_it(world, free_settings, compared, missing):
    change(world)
    world.result.rows["tick_1s"].compared = compared
    world.result.rows["tick_1s"].missing = missing
    outcome = run(free_settings)
    assert outcome.refused and (outcome.upgraded, outcome.job_id) == (False, "old")
    assert world.steps == ["compare"]


def test_a_program_that_cannot_be_planned_touches_nothing(world, free_settings):
    change(world)
    world.planner.error = JobError("Flink cannot plan")
    with pytest.raises(JobError, match="cannot plan"):
        run(free_settings)
    assert world.steps == []


def test_a_dry_run_plans_the_shadow_and_creates_nothing(world, free_settings):
    change(world)
    outcome = run(free_settings, dry=True)
    assert (outcome.route, outcome.upgraded, world.steps) == (Route.SHADOW, False, [])
    assert world.planner.planned == [shadow.NAME]


def test_an_unknown_feature_is_refused_before_anything(world, free_settings):
    change(world)
    with pytest.raises(JobError, match="no feature nothing"):
        run(free_settings, changed=["volume", "nothing"])
    assert world.planner.planned == []


def test_a_feature_names_its_columns():
    assert upgrade._columns_of(["amihud"]) >= {"amihud_10s", "amihud_1h"}


def test_a_second_upgrade_waits_for_the_first(world, free_settings):
    short = free_settings.model_copy(update={"lease_wait_s": 0.1})
    with (
        leases.lease(free_settings, leases.UPGRADE, holder="an upgrade"),
        pytest.raises(leases.LeaseError, match="an upgrade"),
    ):
        run(short)
