"""A DAG as data: what Airflow gets for its schedule, retries, deadline and page."""

from datetime import timedelta

import pytest

from contracts import errors
from contracts.config.settings import settings as read_settings

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module", autouse=True)
def own_airflow_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow-home")))
        yield


@pytest.fixture(scope="module")
def spec(own_airflow_home):
    from dags.factory import spec

    return spec


@pytest.fixture
def made(spec):
    """A `DagSpec` with these fields."""
    required = {"dag_id": "made_up", "owner": "quant-team", "schedule": None, "tags": ("ml",)}
    return lambda **fields: spec.DagSpec(**required | fields)


def test_on_demand_has_no_timetable(spec, made):
    assert spec.timetable(made()) is None


def test_cron_has_an_interval_of_one_period(spec, made):
    from airflow.timetables.interval import CronDataIntervalTimetable

    table = spec.timetable(made(schedule="0 1 * * *"))
    core = CronDataIntervalTimetable(table.expression, timezone="UTC")
    last = core.infer_manual_data_interval(run_after=spec.START + timedelta(hours=30))
    assert (last.end - last.start, last.end.hour) == (timedelta(days=1), 1)


@pytest.mark.parametrize("schedule", ["61 1 * * *", "0 24 * * *", "a b c d e"])
def test_an_impossible_schedule_names_the_dag_and_the_field(spec, made, schedule):
    with pytest.raises(errors.SettingError, match="^made_up: schedule: ") as error:
        spec.arguments(made(schedule=schedule))
    assert schedule in error.value.message
    assert "0 1 * * *" in error.value.hint


def test_an_asset_starts_a_scheduled_dag_as_well(spec, made):
    table = spec.timetable(made(schedule="0 1 * * *", asset="drift"))
    assert type(table).__name__ == "AssetOrTimeSchedule"
    assert spec.timetable(made(asset="drift")) is None  # on demand stays on demand


@pytest.mark.parametrize(
    ("longest_s", "first_min", "expected_s"), [(900, 3, 180), (60, 3, 60), (180, 3, 180)]
)
def test_no_pause_before_a_retry_is_longer_than_the_setting(
    spec, made, monkeypatch, longest_s, first_min, expected_s
):
    monkeypatch.setenv("TICK_AIRFLOW_RETRY_S_MAX", str(longest_s))
    read_settings.cache_clear()
    try:
        arguments = spec.default_args(made(retry_min=first_min))
    finally:
        read_settings.cache_clear()
    assert arguments["retry_delay"] == timedelta(seconds=expected_s)
    assert arguments["max_retry_delay"] == timedelta(seconds=longest_s)


def test_errors_of_the_input_are_not_retried(spec):
    names = [name.removeprefix("contracts.errors.") for name in spec.NOT_RETRIED]
    assert all(issubclass(getattr(errors, name), errors.TickError) for name in names)
    assert "JobError" not in names  # Flink may be back by the next attempt


def test_the_deadline_counts_from_the_moment_a_run_is_queued(spec, made):
    from airflow.sdk import DeadlineReference

    alert = spec.deadline(made(deadline_h=2.5))
    assert alert.interval == timedelta(hours=2.5)
    assert type(alert.reference) is type(DeadlineReference.DAGRUN_QUEUED_AT)
    assert alert.callback.kwargs == {"dag_id": "made_up", "owner": "quant-team", "hours": 2.5}


def test_only_the_owner_may_edit_a_dag(spec, made):
    access = spec.arguments(made())["access_control"]
    assert access == {"quant-team": {"DAGs": {"can_read", "can_edit"}}}


def test_a_page_without_a_text_names_the_dag_and_its_resources(spec, made):
    arguments = spec.arguments(made(retries=4, retry_min=1.5, training_queue="gpu_queue"))
    assert arguments["description"] == "made_up, a variant"
    for line in (
        "| owner | quant-team |",
        "| schedule | on demand |",
        "| queue | batch_queue, training: gpu_queue |",
        "| retries | 4, the first after 1.5 min |",
        "| deadline | 1 h after it was queued |",
    ):
        assert line in arguments["doc_md"].splitlines()
    assert "gate" not in arguments["doc_md"]
    assert "MLflow experiment" not in arguments["doc_md"]


def test_a_page_names_gate_and_experiment_of_a_training(spec, made):
    page = spec.arguments(made(gate="accuracy > 0.95", experiment="digits"))["doc_md"]
    assert page.endswith("| MLflow experiment | digits |\n| gate | accuracy > 0.95 |\n")


def test_the_first_line_of_a_text_is_the_description(spec, made):
    arguments = spec.arguments(made(dag_id="platform_maintenance"))
    assert arguments["description"] == "Clean up and compact the platform's storage"


def test_every_text_belongs_to_a_dag_file(spec):
    assert {file.stem for file in spec.DOCS.glob("*.md")} == set(spec.DAG_IDS)


def test_a_time_parameter_may_be_empty_but_not_a_number(spec):
    from airflow.sdk.exceptions import ParamValidationError

    param = spec.time_param("first day")
    assert param.description == "first day; ISO 8601, UTC"
    assert (param.resolve(None), param.resolve("2026-01-31")) == (None, "2026-01-31")
    with pytest.raises(ParamValidationError):
        param.resolve(20260131)
