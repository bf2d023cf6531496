"""Airflow's processes: airflow.cfg, the preparation of the database, and what counts as healthy."""

import configparser
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from stack import platform, secrets
from stack.process import airflow_environment
from stack.process.pids import ProcessRecord
from stack.services import airflow, airflow_rest, airflow_stack

PACKAGES = "apache_airflow-3.3.2.dist-info"
STARTED_S = 1_800_000_000.0
NO_PID = 2**22 + 1  # beyond Linux's largest: the recorded start counts


@pytest.fixture
def fake_airflow(tmp_path):
    """A program that stands in for the Python with Airflow and notes how it is called."""
    packages = tmp_path / "packages" / PACKAGES
    packages.mkdir(parents=True)
    (packages / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: apache-airflow\nVersion: 3.3.2\n"
    )
    program = tmp_path / "python"

    def write(script: str) -> Path:
        program.write_text(
            f'#!/bin/sh\nif [ "$1" = -c ]; then echo {tmp_path}/packages; exit; fi\n{script}\n'
        )
        program.chmod(0o755)
        return program

    airflow_environment._site_packages.cache_clear()
    airflow_environment.version_in.cache_clear()
    write(f'echo "$@" >> {tmp_path}/calls')
    yield write
    airflow_environment._site_packages.cache_clear()
    airflow_environment.version_in.cache_clear()


def read_config(settings) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(paths.airflow_home(settings) / "airflow.cfg")
    return parser


def test_everything_listens_on_loopback_and_no_examples_are_loaded(free_settings):
    config = airflow.config(free_settings)
    assert config["api"]["host"] == "127.0.0.1"
    assert config["scheduler"]["scheduler_health_check_server_host"] == "127.0.0.1"
    assert config["core"]["execution_api_server_url"].startswith("http://127.0.0.1:")
    assert config["core"]["load_examples"] == "False"
    assert "--skip-serve-logs" in airflow.scheduler(free_settings).command
    assert "--skip-serve-logs" in airflow.triggerer(free_settings).command


def test_the_number_of_parallel_tasks_is_that_of_the_settings(make_settings):
    config = airflow.config(make_settings(airflow_parallelism=3))
    assert config["core"]["parallelism"] == "3"


def test_metrics_are_off_unless_a_receiver_is_set(free_settings):
    assert not {"metrics", "traces"} & set(airflow.config(free_settings))


def test_metrics_go_to_statsd_and_to_a_collector(make_settings):
    settings = make_settings(
        airflow_statsd="statsd:9125", airflow_otel="https://collector.example:4999"
    )
    config = airflow.config(settings)
    assert config["metrics"]["statsd_host"] == "statsd"
    assert config["metrics"]["statsd_port"] == "9125"
    for section in ("metrics", "traces"):
        assert config[section]["otel_host"] == "collector.example"
        assert config[section]["otel_port"] == "4999"
        assert config[section]["otel_ssl_active"] == "True"


def test_preparing_migrates_the_database_and_imports_the_pools_once(
    make_settings, fake_airflow, tmp_path
):
    settings = make_settings(airflow_python=tmp_path / "python")
    airflow.prepare(settings)
    airflow.prepare(settings)
    assert (tmp_path / "calls").read_text().splitlines() == [
        "-m airflow db migrate",
        f"-m airflow pools import {airflow.POOLS}",
    ]


def test_another_database_is_migrated_too(make_settings, fake_airflow, tmp_path):
    airflow.prepare(make_settings(airflow_python=tmp_path / "python"))
    other = make_settings(
        airflow_python=tmp_path / "python", airflow_database="postgresql://me:pass@db/airflow"
    )
    airflow.prepare(other)
    assert (tmp_path / "calls").read_text().count("db migrate") == 2


def test_a_migration_that_failed_is_repeated_and_shows_its_end(
    make_settings, fake_airflow, tmp_path
):
    settings = make_settings(airflow_python=tmp_path / "python")
    fake_airflow("seq 20; echo 'database is locked' >&2; exit 1")
    with pytest.raises(ServiceError, match="`airflow db migrate` failed:") as caught:
        airflow.prepare(settings)
    assert caught.value.message.splitlines()[-1] == "database is locked"
    assert len(caught.value.message.splitlines()) == 9
    assert caught.value.hint == "check TICK_AIRFLOW_DATABASE"
    fake_airflow(f'echo "$@" >> {tmp_path}/calls')
    airflow.prepare(settings)
    assert "db migrate" in (tmp_path / "calls").read_text()


def test_a_migration_that_hangs_is_given_up(make_settings, fake_airflow, tmp_path, monkeypatch):
    monkeypatch.setattr(airflow, "PREPARE_TIMEOUT_S", 0.05)
    fake_airflow("exec sleep 30")
    with pytest.raises(ServiceError, match="took more than") as caught:
        airflow.prepare(make_settings(airflow_python=tmp_path / "python"))
    assert "locks its database" in caught.value.hint


def test_the_files_with_passwords_are_private_and_read_back_as_written(
    make_settings, fake_airflow, tmp_path
):
    settings = make_settings(
        airflow_python=tmp_path / "python", airflow_database="postgresql://me:100%25@db/airflow"
    )
    airflow.prepare(settings)
    home = paths.airflow_home(settings)
    for name in ("airflow.cfg", "passwords.json", "secrets.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    config = read_config(settings)
    assert config["database"]["sql_alchemy_conn"] == "postgresql+psycopg2://me:100%25@db/airflow"
    assert config["api_auth"]["jwt_secret"] == secrets.airflow_secrets(settings).jwt_secret


def test_no_secret_is_an_argument_of_a_process(free_settings):
    values = vars(secrets.airflow_secrets(free_settings)).values()
    for name in airflow_stack.SERVICES:
        command = " ".join(platform.find_service(free_settings, name).command)
        assert not [value for value in values if value in command]


@pytest.fixture
def health(monkeypatch):
    """Airflow's answer to a health check, which the test can change."""
    answer = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "healthy"}}
    monkeypatch.setattr(airflow_rest, "fetch_health", lambda _: answer)
    return answer


def heartbeat(offset_s: float) -> str:
    return datetime.fromtimestamp(STARTED_S + offset_s, UTC).isoformat()


@pytest.mark.parametrize(("offset_s", "ready"), [(-1.0, False), (0.0, False), (1.0, True)])
def test_only_a_heartbeat_since_the_start_counts(free_settings, health, offset_s, ready):
    """A dead scheduler is reported as healthy for half a minute."""
    ProcessRecord(NO_PID, STARTED_S).write(paths.run(free_settings) / "airflow-scheduler.json")
    health["scheduler"]["latest_scheduler_heartbeat"] = heartbeat(offset_s)
    assert airflow.scheduler(free_settings).ready() is ready


def test_a_component_without_a_heartbeat_is_not_ready(free_settings, health):
    ProcessRecord(NO_PID, STARTED_S).write(paths.run(free_settings) / "airflow-scheduler.json")
    health["scheduler"]["latest_scheduler_heartbeat"] = None
    assert not airflow.scheduler(free_settings).ready()


@pytest.mark.parametrize("status", ["healthy", "unhealthy"])
def test_in_a_container_the_reported_state_counts(free_settings, health, status):
    health["scheduler"]["status"] = status
    assert airflow.scheduler(free_settings).ready() is (status == "healthy")


@pytest.mark.parametrize("status", ["healthy", "unhealthy"])
def test_the_api_server_needs_its_database(free_settings, health, status):
    health["metadatabase"]["status"] = status
    assert airflow.api(free_settings).ready() is (status == "healthy")


def test_no_api_server_means_nothing_is_ready(free_settings):
    assert not airflow.api(free_settings).ready()
    assert not airflow.scheduler(free_settings).ready()


def test_without_airflow_nothing_is_started(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "start_all", lambda *_: pytest.fail("started services"))
    settings = make_settings(airflow_python=tmp_path / "none")
    with pytest.raises(ServiceError, match=r"Airflow is not installed in .*none") as caught:
        airflow_stack.up(settings)
    assert "make install-airflow" in caught.value.hint
    assert airflow.api(settings).command[0] == "python-with-airflow"
    assert airflow_environment.airflow_version(settings) == "not installed"


@pytest.mark.parametrize("database", [None, "postgresql://me:pass@db/airflow"])
def test_the_components_start_after_the_api_server(
    make_settings, fake_airflow, tmp_path, monkeypatch, database
):
    steps = []
    monkeypatch.setattr(platform, "start_all", lambda _settings, names, _: steps.append(names))
    monkeypatch.setattr(airflow, "prepare", lambda _: steps.append("prepare"))
    airflow_stack.up(make_settings(airflow_python=tmp_path / "python", airflow_database=database))
    local = () if database else ("postgres",)
    assert steps == [local, "prepare", (airflow.API,), airflow_stack.API_CLIENTS]
