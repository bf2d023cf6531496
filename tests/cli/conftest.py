"""The command line under the settings of a test."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import Settings, settings
from stack.services.project_services import settings_env


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Runs one command line with these settings; returns its result."""

    def run(command_settings: Settings, *arguments: str) -> Result:
        for name, value in settings_env(command_settings).items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return CliRunner().invoke(app, list(arguments))

    yield run
    settings.cache_clear()
