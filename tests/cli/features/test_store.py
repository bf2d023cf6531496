"""`tick features` and `tick online`: output and errors."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import Settings
from contracts.features import COLUMNS, CORE


@pytest.fixture
def tick(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, list(words))


def test_list_shows_every_feature_once(tick):
    output = tick("features", "list").stdout.split()
    assert all(output.count(column.name) == 1 for column in COLUMNS)


def test_list_core_shows_the_core_set_only(tick):
    output = tick("features", "list", "--core").stdout
    assert [column.name for column in COLUMNS if f" {column.name} " in output] == [
        c.name for c in COLUMNS if c.name in CORE
    ]


@pytest.mark.parametrize("name", ["kyle_lambda_1h", "log_return_10s", "hour_sin"])
def test_show_prints_formula_and_null_rule(tick, name):
    result = tick("features", "show", name)
    assert result.exit_code == 0 and name in result.stdout
    assert ("formula" in result.stdout) == (name != "hour_sin")


def test_show_suggests_similar_names(tick):
    result = tick("features", "show", "kyle")
    assert result.exit_code == 1
    assert "kyle_lambda_1h" in result.output


def test_online_status_without_redis_names_the_command(tick, monkeypatch):
    monkeypatch.setattr("contracts.config.settings.settings", lambda: Settings(redis_port=1))
    result = tick("online", "status")
    assert result.exit_code == 1 and "tick up" in result.output
