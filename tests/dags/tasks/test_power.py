"""Tasks of the power model out of order, and a forecast that fails after the registration."""

from datetime import UTC, datetime

import pytest

from contracts.errors import DatasetError, RegistryError
from dags.tasks import power
from training.power import forecast, steps
from training.run.gate import GateCheck, GateVerdict
from training.run.training_run import Registration

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
PASSED = GateVerdict((GateCheck("skill", 1, ">", 0),), ("skill",))


@pytest.mark.parametrize("step", [power.train_model, power.evaluate_model, power.register_model])
def test_a_step_without_its_predecessor_says_which_to_run_first(in_task, step):
    with in_task(), pytest.raises(DatasetError) as error:
        step()
    assert "train again, or in Airflow clear the task" in error.value.hint


def test_an_empty_lakehouse_is_an_error_that_says_how_to_load_readings(in_task):
    interval = (datetime(2026, 3, 1, 1, tzinfo=UTC), datetime(2026, 3, 2, 1, tzinfo=UTC))
    with in_task({}, interval), pytest.raises(DatasetError) as error:
        power.prepare_data()
    assert "--data" in error.value.hint


@pytest.fixture
def registered(monkeypatch, in_task, settings):
    """The task's result when the model is registered as version 4."""
    training = steps.training_run(settings, "a_dag.manual__1")
    training.directory.update_state(**{steps.SERIES: "zone1", steps.THROUGH: 86_400_000_000})
    monkeypatch.setattr(
        steps, "register_model", lambda *_: Registration(PASSED, "4", promoted=True)
    )

    def run(forecast_day):
        monkeypatch.setattr(forecast, "forecast_day", forecast_day)
        with in_task():
            return power.register_model()

    return run


def test_the_day_after_the_data_is_forecast(registered):
    calls = []

    def forecast_day(_settings, series, start_us):
        calls.append((series, start_us))
        return forecast.DayForecast("1970-01-02", series, "power", "4", None, 0)

    result = registered(forecast_day)
    assert calls == [("zone1", 86_400_000_000)]
    assert result == {"version": "4", "promoted": True, "forecast": "1970-01-02"}


def test_a_failed_forecast_keeps_the_registration_and_says_why(registered):
    def forecast_day(*_):
        raise RegistryError("readings are missing")

    result = registered(forecast_day)
    assert result == {"version": "4", "promoted": True, "forecast": "readings are missing"}
