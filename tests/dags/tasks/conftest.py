"""A task of a DAG run without a scheduler: in Airflow's context, with separate settings."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from contracts.config.settings import settings as read_settings


@pytest.fixture(scope="session", autouse=True)
def own_airflow_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow-home")))
        yield


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings that the tasks read too: a new TICK_HOME. Neither Redis nor Flink runs."""
    monkeypatch.setenv("TICK_HOME", str(tmp_path / "tick"))
    monkeypatch.setenv("TICK_REDIS_PORT", "1")
    monkeypatch.setenv("TICK_FLINK_PORT", "1")
    read_settings.cache_clear()
    yield read_settings()
    read_settings.cache_clear()


@pytest.fixture
def in_task(settings):
    """Enters a task of a run with these parameters and this data interval."""

    @contextmanager
    def enter(params=None, interval=(None, None)):
        from airflow.sdk.execution_time.context import set_current_context

        run = SimpleNamespace(
            dag_id="a_dag",
            run_id="manual__1",
            data_interval_start=interval[0],
            data_interval_end=interval[1],
        )
        with set_current_context({"params": params or {}, "dag_run": run}):
            yield

    return enter
