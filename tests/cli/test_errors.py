"""Errors of the command line without any service: each has the value and the next command."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from cli.data.replay import _require_choice
from cli.main import app
from contracts.config import paths
from contracts.config.settings import Settings, settings
from contracts.errors import FeedError, ServiceError
from stack.process import airflow_environment, foreground
from stack.services import kafka, postgres, project_services
from streaming.replay.position import Position, save

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def command(tick, free_settings, monkeypatch):
    """Runs a command on a platform that is down; returns exit code and all output in one line."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: str) -> tuple[int, str]:
        result = tick(free_settings, *arguments)
        assert isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, " ".join(result.output.split())

    return run


@pytest.mark.parametrize(
    ("arguments", "value", "advice"),
    [
        (["logs", "spark"], "unknown service 'spark'", "choose one of: kafka, redis"),
        (["run", "spark"], "unknown service 'spark'", "choose one of: kafka, redis"),
        (["ready", "spark"], "unknown service 'spark'", "choose one of: kafka, redis"),
        (["ready", "kafka"], "kafka does not respond", "`tick logs kafka`"),
        (["features", "show", "nothing"], "unknown feature 'nothing'", "`tick features list`"),
        (["online", "status"], "Redis does not respond", "`tick up`"),
        (["predict", "A:B"], "no API key", "`tick up`"),
        (["replay", "none.csv"], "none.csv", "→"),
        (["load", "none.csv"], "none.csv", "→"),
        (["dead-letters", "list"], "Kafka", "`tick up`"),
        (["job", "status"], "Flink", "`tick up`"),
        (["backfill", "--symbols", ","], "--symbols ',' contains no symbol", "VENUE:SYMBOL"),
        (["parity", "--symbols", ","], "--symbols ',' contains no symbol", "VENUE:SYMBOL"),
        (["stats", "--symbols", "BTC"], "'BTC' is not VENUE:SYMBOL", "BINANCE:BTCUSDT"),
        (["backfill"], "holds no ticks", "`tick history`"),
        (["parity"], "no live job has published a row", "`tick job submit`"),
        (["lake", "snapshots", "no.table"], "no.table", "→"),
        (["synth", "out.parquet", "--preset", "none"], "none", "→"),
        (["demo", "--feed", "none.csv"], "none.csv", "→"),
        (["airflow", "status"], "Airflow does not respond at http://", "`tick airflow up`"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_an_error_has_the_value_and_the_next_command(command, arguments, value, advice):
    code, output = command(*arguments)
    assert code == 1
    assert value in output
    assert advice in output


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["open", "nothing"], "'nothing' is not one of"),
        (["history", "--from", f"{TOMORROW:%Y-%m-%d}"], f"16 days from {TOMORROW:%Y-%m-%d} end"),
        (["history", "--days", "0"], "'--days': Input should be greater than or equal to 1"),
        (["model", "challenge"], "either a version of `tick model list` or --end"),
        (["model", "challenge", "3", "--end"], "either a version of `tick model list` or --end"),
        (["airflow", "run", "some_dag", "--set", "x"], "'x' is not name=value"),
        (["airflow", "backfill", "some_dag", "--from", "x", "--to", "x"], "'x' does not match"),
        (["train", "power", "--series", "zone4"], "'zone4' is not one of"),
        (["dataset", "rebuild"], "run_id"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_a_wrong_argument_is_exit_code_2_and_is_named(command, arguments, value):
    code, output = command(*arguments)
    assert code == 2
    assert value in output


def test_a_wrong_setting_is_named_with_its_variable(tick, free_settings, monkeypatch):
    monkeypatch.setattr("tests.cli.conftest.settings_env", lambda _: {"TICK_KAFKA_PORT": "seven"})
    result = tick(free_settings, "status")
    assert result.exit_code == 1
    assert "kafka_port" in result.stderr
    assert "seven" in result.stderr
    assert "env | grep TICK_" in result.stderr


def test_a_refused_address_is_named_without_its_password(tick, free_settings, monkeypatch):
    monkeypatch.setenv("TICK_CATALOG_URI", "http://user:canary@host/catalog")
    settings.cache_clear()
    result = CliRunner().invoke(app, ["lake", "tables"])
    settings.cache_clear()
    assert result.exit_code == 1 and "catalog_uri" in result.stderr
    assert "canary" not in result.output
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "canary" not in str(caught.value)


def test_env_adds_what_is_missing_and_keeps_the_rest(tick, free_settings, tmp_path):
    file = tmp_path / ".env"
    file.write_text("TICK_API_KEY=mine\n")
    added = tick(free_settings, "env", "--file", str(file)).stdout.replace("\n", "")
    assert "REDIS_PASSWORD" in added
    assert "TICK_API_KEY" not in added
    assert "TICK_API_KEY=mine\n" in file.read_text()
    assert tick(free_settings, "env", "--file", str(file)).stdout == f"{file} is complete\n"


def test_an_interrupted_replay_needs_a_choice(tmp_path):
    file = tmp_path / "position.json"
    _require_choice(file, resume=False, restart=False)
    save(file, Position("fingerprint", items=1_234))
    with pytest.raises(FeedError, match="stopped after 1,234 rows") as error:
        _require_choice(file, resume=False, restart=False)
    assert "--resume" in error.value.hint
    assert "--restart" in error.value.hint
    _require_choice(file, resume=True, restart=False)
    _require_choice(file, resume=False, restart=True)


def test_a_missing_program_of_a_foreground_service_is_named(free_settings, monkeypatch):
    monkeypatch.setattr(foreground.shutil, "which", lambda _: None)
    with pytest.raises(ServiceError, match=r"redis: program .*redis-server not found") as error:
        foreground.exec_service(free_settings, "redis")
    assert "tick doctor" in error.value.hint


def test_an_unsupported_protocol_of_the_local_kafka_is_named(make_settings):
    settings = make_settings(
        kafka_protocol="SASL_PLAINTEXT",
        kafka_mechanism="SCRAM-SHA-512",
        kafka_user="user",
        kafka_password="password",
    )
    with pytest.raises(ServiceError, match="SASL_PLAINTEXT with SCRAM-SHA-512") as error:
        kafka.prepare(settings)
    assert "TICK_KAFKA_SERVERS" in error.value.hint
    assert not (paths.kafka_home(settings) / "data").exists()


def test_a_python_without_airflow_is_named(make_settings):
    settings = make_settings(airflow_python=Path("/nowhere/python"))
    with pytest.raises(ServiceError, match="not installed in /nowhere/python") as error:
        airflow_environment.airflow_python(settings)
    assert "make install-airflow" in error.value.hint
    assert airflow_environment.airflow_version(settings) == "not installed"


@pytest.mark.parametrize("subcommand", ["up", "demo"])
def test_airflow_commands_without_airflow_name_the_command(tick, make_settings, subcommand):
    settings = make_settings(airflow_python=Path("/nowhere/python"))
    result = tick(settings, "airflow", subcommand)
    assert result.exit_code == 1
    assert "not installed in /nowhere/python" in result.stderr
    assert "`make install-airflow`" in result.stderr


def test_a_missing_postgres_names_the_command(make_settings, monkeypatch, tmp_path):
    monkeypatch.setattr(postgres.shutil, "which", lambda _: None)
    monkeypatch.setattr(postgres.airflow_environment, "packages_folder", lambda _: tmp_path)
    with pytest.raises(ServiceError, match="Postgres is not installed") as error:
        postgres.program_folder(make_settings())
    assert "make install-airflow" in error.value.hint


def test_the_api_client_needs_a_key(free_settings):
    with pytest.raises(ServiceError, match="no API key") as error:
        project_services.api_client(free_settings)
    assert "tick up" in error.value.hint
