"""`tick serve --background`: the API as a service that the other commands manage."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from stack import platform
from stack.services.project_services import settings_env


@pytest.fixture
def tick(free_settings, monkeypatch):
    for name, value in settings_env(free_settings).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield lambda *words: CliRunner().invoke(app, list(words))
    settings.cache_clear()


def test_predict_without_an_api_names_the_command_that_starts_it(tick, monkeypatch):
    monkeypatch.setenv("TICK_API_KEY", "k")
    result = tick("predict", "A:B")
    assert result.exit_code == 1
    assert "`tick serve --background`" in result.stderr


@pytest.mark.integration
def test_the_api_in_the_background_is_shown_and_stopped(tick, free_settings):
    try:
        started = tick("serve", "--background")
        assert started.exit_code == 0, started.output
        assert started.stdout == f"the API is ready at {free_settings.api_url}\n"
        row = next(line for line in tick("status").stdout.splitlines() if line.startswith("api "))
        assert " ready " in row
        assert tick("down").stdout == "stopped api\n"
    finally:
        platform.down(free_settings)
