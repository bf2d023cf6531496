"""Every DAG file imports without errors and heavy modules, and matches the table of DAGs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow
REPO = Path(__file__).parents[2]
FILES = sorted(file.name for file in (REPO / "dags").glob("*_dag.py"))
TRAINING = ("prepare_data", "train_model", "evaluate_model", "register_model")
TICK = (
    "aggregate_weekly_features",
    "prepare_training_data",
    "train_model",
    "backtest_model",
    "register_to_production",
)
MIN = 60.0
# dag: file, owner, cron, tags, queue, priority, retries, first pause, deadline in hours, tasks in
# order
DAGS = {
    "tick_model_training": (
        "ml_tick_model_dag.py", "quant-team", "0 2 * * 0", {"ml", "tick", "production", "timeseries"}, "realtime_queue", 10, 3, 2, 4, TICK),
    "power_lgbm_training": (
        "ml_power_lgbm_dag.py", "energy-team", "0 1 * * *", {"ml", "lgbm", "power", "forecasting"}, "batch_queue", 5, 2, 3, 1, TRAINING),
    "mnist_cnn_training": (
        "ml_mnist_cnn_dag.py", "vision-team", None, {"ml", "cnn", "mnist", "experiment"}, "batch_queue", 5, 2, 5, 2, TRAINING),
    "cifar10_cnn_training": (
        "ml_cifar10_cnn_dag.py", "vision-team", None, {"ml", "cnn", "cifar10", "experiment"}, "batch_queue", 5, 2, 5, 6, TRAINING),
    "tick_feature_backfill": (
        "tick_feature_backfill_dag.py", "data-platform-team", "30 0 * * *", {"tick", "features", "backfill"}, "batch_queue", 4, 2, 2, 12,
        ("plan_chunks", "backfill_chunk", "report_holes")),
    "tick_daily_statistics": (
        "tick_daily_statistics_dag.py", "quant-team", "15 1 * * *", {"tick", "statistics", "daily"}, "batch_queue", 4, 2, 3, 2,
        ("compute_statistics",)),
    "tick_drift_retrain": (
        "tick_drift_retrain_dag.py", "quant-team", "30 3 * * *", {"ml", "tick", "drift"}, "batch_queue", 6, 2, 3, 1,
        ("check_drift", "request_retrain")),
    "platform_maintenance": (
        "platform_maintenance_dag.py", "data-platform-team", "0 4 * * 6", {"platform", "maintenance"}, "batch_queue", 1, 2, 3, 3, None),
}  # fmt: skip
POOLS = {
    ("tick_model_training", "aggregate_weekly_features"): "high_priority_cpu",
    ("tick_model_training", "train_model"): "high_priority_cpu",
    ("mnist_cnn_training", "train_model"): "gpu_pool",
    ("cifar10_cnn_training", "train_model"): "gpu_pool",
}
QUEUES = {
    ("mnist_cnn_training", "train_model"): "gpu_queue",
    ("cifar10_cnn_training", "train_model"): "gpu_queue",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("airflow-home")


def probe(home: Path, *names: str) -> dict[str, dict]:
    """By file: what it defines, as a child process with an empty Airflow home sees it."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(REPO),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    script = str(REPO / "tests" / "support" / "dag_probe.py")
    paths = [str(REPO / "dags" / name) for name in names]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *paths],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def probed(home: Path) -> dict[str, dict]:
    """Every DAG file."""
    return probe(home, *FILES)


def test_every_dag_has_its_file():
    assert {line[0] for line in DAGS.values()} | {"ml_variants_dag.py"} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_without_error_and_nothing_heavy(probed, file):
    assert probed[file]["errors"] == {}
    assert probed[file]["heavy"] == []
    assert probed[file]["dags"]


@pytest.mark.parametrize("name", DAGS)
def test_a_dag_is_what_the_table_says(probed, name):
    file, owner, cron, tags, queue, priority, retries, pause_min, deadline_h, order = DAGS[name]
    dag = probed[file]["dags"][name]
    assert (dag["cron"], set(dag["tags"]), dag["access"]) == (cron, tags, [owner])
    assert (dag["catchup"], dag["max_active_runs"], dag["start"][:10]) == (False, 1, "2025-01-01")
    assert dag["deadlines"] == [
        ["DagRunQueuedAtDeadline", deadline_h * 3600.0, "dags.alerts.deadline_missed"]
    ]
    for task_id, task in dag["tasks"].items():
        assert (task["owner"], task["priority_weight"], task["retries"]) == (
            owner,
            priority,
            retries,
        )
        assert task["queue"] == QUEUES.get((name, task_id), queue)
        assert (
            task["retry_delay"],
            task["max_retry_delay"],
            task["retry_exponential_backoff"],
        ) == (pause_min * MIN, 15 * MIN, 2.0)
        assert task["pool"] == POOLS.get((name, task_id), "default_pool")
        assert task["on_failure"] == ["task_failed"]
        assert "contracts.errors.DatasetError" in task["not_retried"]
    if order is not None:
        assert [dag["tasks"][task]["next"] for task in order] == [[task] for task in order[1:]] + [
            []
        ]
        assert set(dag["tasks"]) == set(order)
    assert owner in dag["doc"]
    assert dag["doc"].startswith("# ")


def test_by_time_means_intervals_and_drift_starts_the_training_too(probed):
    kinds = {name: probed[line[0]]["dags"][name]["timetable"] for name, line in DAGS.items()}
    assert kinds["tick_model_training"] == "AssetOrTimeSchedule"
    assert {
        kinds[name]
        for name in ("power_lgbm_training", "tick_feature_backfill", "tick_daily_statistics")
    } == {"CronDataIntervalTimetable"}


PARAMS = {
    "tick_model_training": ["chunk", "from", "to"],
    "power_lgbm_training": ["day", "series"],
    "mnist_cnn_training": ["data", "epochs", "rows_max", "seed"],
    "cifar10_cnn_training": ["data", "epochs", "rows_max", "seed"],
    "tick_feature_backfill": ["chunk", "from", "symbols", "to"],
    "tick_daily_statistics": ["from", "symbols", "to"],
    "tick_drift_retrain": ["from", "to"],
    "platform_maintenance": ["keep_days"],
}


@pytest.mark.parametrize("name", DAGS)
def test_a_run_takes_these_parameters(probed, name):
    assert probed[DAGS[name][0]]["dags"][name]["params"] == PARAMS[name]


@pytest.mark.parametrize("name", DAGS)
def test_priorities_are_not_summed_over_tasks(probed, name):
    tasks = probed[DAGS[name][0]]["dags"][name]["tasks"].values()
    assert {task["weight_rule"] for task in tasks} == {"absolute"}


def test_snapshots_expire_after_compaction_and_the_rest_waits_for_nothing(probed):
    tasks = probed["platform_maintenance_dag.py"]["dags"]["platform_maintenance"]["tasks"]
    assert {name: task["next"] for name, task in tasks.items()} == {
        "compact_tables": ["expire_snapshots"],
        "expire_snapshots": [],
        "delete_old_logs": [],
        "delete_old_trainings": [],
        "clean_database": [],
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_airflow_reads_the_dag_files_and_nothing_else(home, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    from airflow.utils.file import list_py_file_paths

    found = list_py_file_paths(REPO / "dags", safe_mode=False)
    assert sorted(str(Path(path).relative_to(REPO / "dags")) for path in found) == FILES


def test_no_variant_may_take_the_id_of_a_dag_file():
    from dags.factory.spec import DAG_IDS

    assert sorted(DAG_IDS) == sorted(DAGS)


def test_variants_are_dags_with_their_own_defaults(probed):
    dags = probed["ml_variants_dag.py"]["dags"]
    assert set(dags) == {"cifar10_simple_training", "power_zone1_training"}
    assert dags["cifar10_simple_training"]["tasks"]["train_model"]["pool"] == "gpu_pool"
    assert dags["power_zone1_training"]["params"] == ["day", "series"]


def test_an_approval_stands_before_production_where_it_is_asked_for(home, monkeypatch):
    monkeypatch.setenv("TICK_AIRFLOW_APPROVAL", "true")
    file = "ml_tick_model_dag.py"
    dag = probe(home, file)[file]["dags"]["tick_model_training"]
    assert dag["tasks"]["backtest_model"]["next"] == ["approve_production"]
    assert dag["tasks"]["approve_production"]["next"] == ["register_to_production"]
