"""`tick features` and `tick online` as a person types them."""

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
    shown = tick("features", "list").stdout.split()
    assert all(shown.count(column.name) == 1 for column in COLUMNS)


def test_list_core_shows_the_core_set_only(tick):
    shown = tick("features", "list", "--core").stdout
    assert [column.name for column in COLUMNS if f" {column.name} " in shown] == [
        c.name for c in COLUMNS if c.name in CORE
    ]


@pytest.mark.parametrize("name", ["kyle_lambda_1h", "log_return_10s", "hour_sin"])
def test_show_tells_formula_and_null_rule(tick, name):
    answer = tick("features", "show", name)
    assert answer.exit_code == 0 and name in answer.stdout
    assert ("formula" in answer.stdout) == (name != "hour_sin")


def test_show_suggests_what_may_be_meant(tick):
    answer = tick("features", "show", "kyle")
    assert answer.exit_code == 1
    assert "kyle_lambda_1h" in answer.output


def test_online_status_without_redis_says_what_to_do(tick, monkeypatch):
    monkeypatch.setattr("contracts.config.settings.settings", lambda: Settings(redis_port=1))
    answer = tick("online", "status")
    assert answer.exit_code == 1 and "tick up" in answer.output
