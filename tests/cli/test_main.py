"""The command line as a whole: help, the format of errors, and no heavy import before a command
runs.
"""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from cli.main import Group, app
from contracts.config.settings import Settings
from contracts.errors import ServiceError


def _app(error: Exception) -> typer.Typer:
    application = typer.Typer(cls=Group, pretty_exceptions_enable=False)

    @application.callback()
    def root() -> None: ...

    @application.command()
    def fail() -> None:
        raise error

    return application


def test_an_expected_error_is_two_lines_and_code_1():
    result = CliRunner().invoke(_app(ServiceError("port 1 [kafka] is taken", "stop it")), ["fail"])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["✗ port 1 [kafka] is taken", "  → stop it"]
    assert result.stdout == ""


def test_an_error_without_a_hint_is_one_line():
    assert CliRunner().invoke(_app(ServiceError("gone")), ["fail"]).stderr == "✗ gone\n"


def test_a_bad_setting_is_an_expected_error():
    with pytest.raises(ValueError) as caught:
        Settings(kafka_port="seven")
    result = CliRunner().invoke(_app(caught.value), ["fail"])
    assert result.exit_code == 1
    assert "kafka_port" in result.stderr
    assert "TICK_" in result.stderr


def test_an_unexpected_error_is_not_swallowed():
    result = CliRunner().invoke(_app(ZeroDivisionError("bug")), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_help_names_the_commands_of_a_first_day():
    text = CliRunner().invoke(app, ["--help"]).output
    for word in (
        "tick up",
        "tick job submit",
        "tick replay",
        "tick train tick",
        "tick serve",
        "tick down",
        "TICK_HOME",
    ):
        assert word in " ".join(text.split())


def test_every_command_has_help():
    for command in typer.main.get_command(app).commands.values():
        assert command.help or getattr(command, "commands", None), command.name


def test_the_help_imports_nothing_heavy():
    heavy = ("mlflow", "feast", "pyflink", "sklearn", "polars", "pandas", "confluent_kafka")
    code = f"import sys, cli.main; print([name for name in {heavy} if name in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"
