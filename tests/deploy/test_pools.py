"""Pools limit something only when more tasks may run at a time than a pool has slots."""

import json
from pathlib import Path
from typing import get_args

import pytest
import yaml

from dags.factory.training_config import Pool

ROOT = Path(__file__).parents[2]
POOLS = json.loads((ROOT / "dags" / "pools.json").read_text())
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
AIRFLOW = [name for name, service in SERVICES.items() if "airflow" in service["image"]]


def test_every_pool_that_a_dag_may_name_is_created():
    assert set(get_args(Pool)) == POOLS.keys()
    assert all(pool["slots"] >= 1 for pool in POOLS.values())


@pytest.mark.parametrize("name", AIRFLOW)
def test_containers_run_as_many_tasks_as_the_largest_pool_has_slots(name):
    """The same for all: each of them writes airflow.cfg into the volume they share."""
    parallelism = int(SERVICES[name]["environment"].get("TICK_AIRFLOW_PARALLELISM", "2"))
    assert parallelism >= max(pool["slots"] for pool in POOLS.values())
