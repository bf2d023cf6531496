"""One Airflow on one platform with history for every test of this folder, and what they ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from stack import platform
from stack.services import airflow_stack
from stack.services.airflow_rest import Client
from streaming.synthetic.history import load_synthetic
from tests.conftest import settings_in
from tests.support.airflow_runs import DAYS, MARKET, TODAY_US, wait
from tests.support.cifar_part import cifar_batches


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Client]]:
    settings = settings_in(tmp_path_factory.mktemp("airflow"), airflow_retry_s_max=3)
    try:
        platform.up(settings, ("jobmanager", "taskmanager"))
        load_synthetic(settings, MARKET, TODAY_US - DAYS * DAY_US, DAYS)
        airflow_stack.up(settings)
        client = Client(settings)
        wait(lambda: len(client.dags()) >= 8, "the DAGs are read")
        yield settings, client
    finally:
        platform.down(settings)
    assert not list((settings.root / "run").glob("*.json")), "something is left behind"


@pytest.fixture(scope="session")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 training and 500 test images."""
    return cifar_batches(
        tmp_path_factory.mktemp("images") / "cifar", train_every=100, test_every=20
    )
