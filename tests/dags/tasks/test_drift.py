"""The drift check: which range it reads, when it is skipped, and what requests a training."""

import math

import pytest

from contracts.durations import DAY_US
from contracts.errors import RegistryError
from dags.tasks import tick
from dags.tasks.task_context import parse_us
from training.monitoring import drift_check
from training.monitoring.drift_check import DriftCheck, NoProductionError
from training.tick.drift import DriftVerdict, IcEstimate

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
END_US = parse_us("2026-03-08")
REASONS = ("obi: PSI 0.31 is above 0.25",)


def outcome(due, reasons=()):
    ic = IcEstimate(*([math.nan] * len(IcEstimate.__dataclass_fields__)))
    return DriftCheck(DriftVerdict((), ic, reasons), due, "3", 500, None)


@pytest.fixture
def check(monkeypatch, in_task):
    """The task's result for this outcome of the check, or error, and the range that was checked."""

    def run(result, **params):
        ranges = []

        def check_drift(_settings, from_us, to_us, _at_us):
            ranges.append((from_us, to_us))
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(drift_check, "check_drift", check_drift)
        with in_task(params):
            return tick.check_drift(), ranges[0]

    return run


def test_drift_requests_a_training_with_its_reasons(check):
    result, _ = check(outcome(due=True, reasons=REASONS))
    assert (result["retrain"], result["version"], result["rows"]) == (True, "3", 500)
    assert tick.request_retrain(result) == list(REASONS)


def test_the_check_reads_seven_days_unless_told_otherwise(check):
    due = outcome(due=True, reasons=REASONS)
    assert check(due, to="2026-03-08")[1] == (END_US - 7 * DAY_US, END_US)
    assert check(due, **{"from": "2026-03-07", "to": "2026-03-08"})[1] == (END_US - DAY_US, END_US)


def test_without_drift_the_task_is_skipped(check):
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="^no drift in 500 decisions$"):
        check(outcome(due=False))


def test_drift_right_after_a_training_is_skipped_with_the_reasons(check):
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match=REASONS[0]):
        check(outcome(due=False, reasons=REASONS))


def test_without_a_production_model_it_is_skipped_with_what_will_make_one(check):
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="no Production version") as caught:
        check(NoProductionError("no Production version", "train one: `tick train tick`"))
    assert "train one: `tick train tick`" in str(caught.value)


def test_a_registry_that_does_not_answer_fails_the_task(check):
    with pytest.raises(RegistryError, match="does not answer"):
        check(RegistryError("MLflow does not answer"))
