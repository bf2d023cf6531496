"""The command line on a lakehouse of one test."""

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings


@pytest.fixture
def lake_command(tmp_path, monkeypatch):
    """Runs a command with its own home and nothing else; returns its result."""
    monkeypatch.setenv("TICK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()

    def run(*arguments: object, answer: str | None = None) -> Result:
        result = CliRunner().invoke(app, [str(word) for word in arguments], input=answer)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    yield run
    settings.cache_clear()
