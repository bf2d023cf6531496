"""`dag.test()` of each DAG with small data, on the history and the models that the scheduler's
tests left.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack import platform
from stack.services import airflow as services
from stack.services import airflow_stack
from tests.support.real_data import real
from tests.support.runs import DAY_US, DAYS, TODAY_US
from training.run.provenance import iso

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore")]
REPO = Path(__file__).parents[2]
LIMIT_S = 1200
# Skipped: what the gate refuses on such small data, and a retraining less than a day after a
# training.
SKIPPED = {
    "mnist_cnn_training": {"register_model"},
    "cifar10_cnn_training": {"register_model"},
    "cifar10_simple_training": {"register_model"},
    "tick_drift_retrain": {"check_drift", "request_retrain"},
}
# Whether these beat what was registered minutes ago depends on the day.
MAY_SKIP = {
    "tick_model_training": {"register_to_production"},
    "power_lgbm_training": {"register_model"},
    "power_zone1_training": {"register_model"},
}


@pytest.fixture(scope="module")
def outcome(airflow, cifar, tmp_path_factory) -> dict[str, dict]:
    """The states of all runs; only the data base of Airflow runs alongside them, as the scheduler
    would run them too.
    """
    settings, _ = airflow
    platform.down(settings, tuple(name for name in airflow_stack.SERVICES if name != "postgres"))
    day = {"from": iso(TODAY_US - 2 * DAY_US), "to": iso(TODAY_US - DAY_US)}
    images = {"data": str(cifar), "epochs": 1}
    wanted = {
        "tick_model_training": {"from": iso(TODAY_US - DAYS * DAY_US), "to": iso(TODAY_US)},
        "power_lgbm_training": {"day": iso(TODAY_US - 2 * DAY_US)},
        "power_zone1_training": {"day": iso(TODAY_US - 2 * DAY_US), "series": "zone1"},
        "mnist_cnn_training": {"data": str(real("mnist/mnist.npz")), "epochs": 1, "rows_max": 2000},
        "cifar10_cnn_training": images,
        "cifar10_simple_training": images,
        "tick_feature_backfill": {**day, "chunk": "1d"},
        "tick_daily_statistics": day,
        "tick_drift_retrain": day,
        "platform_maintenance": {},
    }
    log = tmp_path_factory.mktemp("small") / "dag_test.log"
    command = [sys.executable, "-m", "tests.support.every_dag", json.dumps(wanted)]
    with log.open("w") as complaints:
        own = {**os.environ, **services.airflow_env(settings), "PYTHONPATH": str(REPO)}
        ran = subprocess.run(
            command,
            env=own,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert ran.returncode == 0, log.read_text()[-4000:]
    return json.loads(ran.stdout.splitlines()[-1])


def test_every_run_succeeds_and_skips_only_what_its_gate_refused(outcome):
    assert {name: run["state"] for name, run in outcome.items()} == dict.fromkeys(
        outcome, "success"
    )
    for name, run in outcome.items():
        skipped = {task for task, state in run["tasks"].items() if state == "skipped"}
        assert set(run["tasks"].values()) <= {"success", "skipped"}, name
        assert skipped - MAY_SKIP.get(name, set()) == SKIPPED.get(name, set()), name
