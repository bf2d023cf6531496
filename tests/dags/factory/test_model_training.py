"""The factory builds the four documented configurations, from Python arguments and from YAML."""

import inspect
from pathlib import Path

import pytest
import yaml

from contracts.errors import SettingError
from tests.support.documented_pipelines import CALLS

# `access_control` warns that Airflow 4 moves it; errors of ours stay errors of the test.
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
REPO = Path(__file__).parents[3]
each = pytest.mark.parametrize("name", CALLS)
TRAINING = ["prepare_data", "train_model", "evaluate_model", "register_model"]
TASKS = {
    "mnist_cnn_training": TRAINING,
    "cifar10_cnn_training": TRAINING,
    "tick_model_training": [
        "aggregate_weekly_features",
        "prepare_training_data",
        "train_model",
        "backtest_model",
        "register_to_production",
    ],
    "power_lgbm_training": TRAINING,
}


@pytest.fixture(scope="module", autouse=True)
def own_airflow_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow-home")))
        yield


@pytest.fixture(scope="module")
def factory(own_airflow_home):
    from dags.factory import model_training

    return model_training


@pytest.fixture(scope="module")
def shipped(own_airflow_home):
    """The DAGs of the folder, as Airflow reads it."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(REPO / "dags")
    assert bag.import_errors == {}
    return bag.dags


def cron(dag):
    table = getattr(dag.timetable, "timetable", dag.timetable)
    return getattr(table, "expression", None)


def described(dag):
    """Everything of a DAG that two ways of describing it must agree on, apart from its id."""
    tasks = {
        task.task_id: (
            task.pool,
            task.queue,
            task.priority_weight,
            task.retries,
            task.owner,
            sorted(task.downstream_task_ids),
        )
        for task in dag.tasks
    }
    return tasks, cron(dag), sorted(dag.tags), sorted(dag.params)


def test_the_signature_is_the_documented_one(factory):
    parameters = inspect.signature(factory.create_ml_training_dag).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    required = inspect.Parameter.empty
    assert [(parameter.name, parameter.default) for parameter in parameters] == [
        ("dag_id", required),
        ("schedule", required),
        ("model_type", required),
        ("dataset", required),
        ("framework", required),
        ("pool", "default_pool"),
        ("priority_weight", 5),
        ("tags", None),
    ]


@each
def test_a_documented_configuration_becomes_a_dag(factory, name):
    args, kwargs = CALLS[name]
    dag = factory.create_ml_training_dag(*args, **kwargs)
    assert (dag.dag_id, cron(dag), sorted(dag.tags)) == (name, args[1], sorted(kwargs["tags"]))
    assert [task.task_id for task in dag.topological_sort()] == TASKS[name]
    pool = args[5] if len(args) > 5 else "default_pool"
    assert dag.get_task("train_model").pool == pool
    weights = {task.priority_weight for task in dag.tasks}
    assert weights == {kwargs.get("priority_weight", 5)}


@each
def test_the_shipped_dag_is_the_documented_call(factory, shipped, name):
    args, kwargs = CALLS[name]
    documented = factory.create_ml_training_dag(*args, **kwargs)
    assert described(shipped[name]) == described(documented)


@each
def test_a_yaml_file_describes_the_same_dag(factory, tmp_path, name):
    args, kwargs = CALLS[name]
    fields = CALLS[name].fields() | {"dag_id": f"{name}_copy"}
    (tmp_path / "copy.yaml").write_text(yaml.safe_dump(fields))
    copy = factory.variant_dags(tmp_path)[f"{name}_copy"]
    assert described(copy) == described(factory.create_ml_training_dag(*args, **kwargs))


def test_drift_starts_the_shipped_tick_model_and_no_variant_of_it(factory, tmp_path):
    args, kwargs = CALLS["tick_model_training"]
    fields = CALLS["tick_model_training"].fields() | {"dag_id": "tick_model_monthly"}
    (tmp_path / "monthly.yaml").write_text(yaml.safe_dump(fields | {"schedule": "0 2 1 * *"}))
    kinds = [
        type(dag.timetable).__name__
        for dag in (
            factory.create_ml_training_dag(*args, **kwargs),
            factory.variant_dags(tmp_path)["tick_model_monthly"],
        )
    ]
    assert kinds == ["AssetOrTimeSchedule", "CronDataIntervalTimetable"]


def test_params_of_a_tick_variant_are_defaults_of_its_runs(factory, tmp_path):
    fields = CALLS["tick_model_training"].fields()
    fields |= {"dag_id": "tick_model_2026", "params": {"from": "2026-01-01", "chunk": "1d"}}
    (tmp_path / "fixed.yaml").write_text(yaml.safe_dump(fields))
    dag = factory.variant_dags(tmp_path)["tick_model_2026"]
    assert dict(dag.params) == {"from": "2026-01-01", "to": None, "chunk": "1d"}


def test_without_tags_a_dag_is_found_by_model_and_data(factory):
    args, _ = CALLS["power_lgbm_training"]
    assert factory.create_ml_training_dag(*args).tags == {"ml", "gbm", "power"}


def test_only_training_waits_for_a_gpu(factory):
    for name in ("mnist_cnn_training", "cifar10_cnn_training"):
        args, kwargs = CALLS[name]
        dag = factory.create_ml_training_dag(*args, **kwargs)
        places = {task.task_id: (task.pool, task.queue) for task in dag.tasks}
        assert places.pop("train_model") == ("gpu_pool", "gpu_queue")
        assert set(places.values()) == {("default_pool", "batch_queue")}
        assert "| queue | batch_queue, training: gpu_queue |" in dag.doc_md


@pytest.mark.parametrize(
    ("position", "value", "expected"),
    [
        (2, "transformer", "model_type: 'transformer' is none of timeseries"),
        (3, "ticks", "dataset: 'ticks' is none of mnist, cifar10, tick, power"),
        (4, "jax", "framework: tick is trained by sklearn, not 'jax'"),
        (5, "tpu_pool", "pool: Input should be 'default_pool', 'high_priority_cpu' or 'gpu_pool'"),
    ],
)
def test_an_unknown_combination_names_those_that_exist(factory, position, value, expected):
    args, kwargs = CALLS["tick_model_training"]
    wrong = (*args[:position], value, *args[position + 1 :])
    with pytest.raises(SettingError) as caught:
        factory.create_ml_training_dag(*wrong, **kwargs)
    assert caught.value.message.startswith("create_ml_training_dag('tick_model_training'): ")
    assert expected in caught.value.message
    for known in (
        "mnist: cnn by tensorflow",
        "cifar10: cnn, resnet9, simple by pytorch",
        "tick: timeseries by sklearn",
        "power: gbm by lightgbm",
    ):
        assert known in str(caught.value)


def test_tags_that_are_one_string_are_refused(factory):
    args, _ = CALLS["mnist_cnn_training"]
    with pytest.raises(SettingError, match="tags: Input should be a valid tuple"):
        factory.create_ml_training_dag(*args, tags="ml")
