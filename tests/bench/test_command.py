"""`python -m bench`: which benches run, and what is left of a failure."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import typer
from confluent_kafka import KafkaException
from redis import RedisError
from typer.testing import CliRunner

from bench import __main__ as command
from bench.__main__ import Name
from bench.errors import BenchError
from bench.measures import exchange
from bench.report.figures import Figure
from contracts.config.settings import settings
from contracts.errors import ServiceError

MEASURES = Path(command.__file__).parent / "measures"
FIGURE = Figure("speed", 123.0, "ticks/s", at_least=1000)


@dataclass
class Measured:
    """(name, scale) of each bench that ran; the errors that benches raise, by name."""

    runs: list
    errors: dict


@pytest.fixture
def measured(monkeypatch):
    """Benches that return a figure or raise, instead of the real ones."""
    runs, errors = [], {}

    def load_bench(name):
        def measure(scale):
            runs.append((name.value, scale))
            if name.value in errors:
                raise errors[name.value]
            return [FIGURE]

        return measure

    monkeypatch.setattr(command, "load_bench", load_bench)
    return Measured(runs, errors)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Call the command with these arguments."""
    monkeypatch.setenv("TICK_HOME", str(tmp_path))
    settings.cache_clear()
    app = typer.Typer()
    app.command()(command.main)
    handler = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})
    signal.signal(signal.SIGTERM, handler)
    settings.cache_clear()


def saved_results(home):
    (file,) = (home / "bench").glob("*.json")
    return orjson.loads(file.read_bytes())["results"]


def test_every_name_is_a_module_and_every_module_has_a_name():
    modules = {file.stem for file in MEASURES.glob("*.py")} - {"__init__"}
    assert {name.value for name in Name} == modules


@pytest.mark.parametrize("name", [Name.EXCHANGE, Name.REPLAY, Name.FRESHNESS])
def test_a_bench_is_the_function_of_its_module(name):
    measure = command.load_bench(name)
    assert (measure.__module__, measure.__name__) == (f"bench.measures.{name.value}", "measure")


def test_all_benches_run_by_default_in_their_order(bench, measured):
    assert bench().exit_code == 0
    assert measured.runs == [(name.value, 1.0) for name in Name]


def test_only_the_named_benches_run_in_the_order_of_the_arguments(bench, measured):
    bench("flink", "exchange", "--scale", "0.1")
    assert measured.runs == [("flink", 0.1), ("exchange", 0.1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flnk"], "'flnk' is not one of"),
        (["exchange", "--scale", "0"], "equal to 0.01"),
        (["exchange", "--scale", "11"], "equal to 10"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_runs(bench, measured, arguments, message):
    result = bench(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert measured.runs == []


def test_a_missed_aim_is_shown_and_does_not_fail_the_run(bench, measured, tmp_path):
    result = bench("exchange")
    assert result.exit_code == 0
    assert "≥ 1,000" in result.output and "no" in result.output
    assert saved_results(tmp_path)[0]["figures"][0]["met"] is False


@pytest.mark.parametrize(
    "error",
    [
        BenchError("nothing arrived", "look [here]"),
        ServiceError("kafka is not ready"),
        RedisError("connection lost"),
        KafkaException("broker down"),
    ],
)
def test_a_failure_is_a_result_and_the_next_bench_runs(bench, measured, tmp_path, error):
    measured.errors["replay"] = error
    result = bench("replay", "exchange")
    assert result.exit_code == 1
    failed, succeeded = saved_results(tmp_path)
    assert failed["failure"] == f"{type(error).__name__}: {error}"
    assert (failed["figures"], succeeded["failure"]) == ([], "")
    assert "failed" in result.output and "speed" in result.output


def test_a_mistake_in_a_bench_is_not_hidden(bench, measured):
    measured.errors["replay"] = AttributeError("no such column")
    result = bench("replay")
    assert isinstance(result.exception, AttributeError)


def test_the_path_of_the_results_is_printed(bench, measured, tmp_path):
    (line,) = [line for line in bench("exchange").output.splitlines() if "saved to" in line]
    assert Path(line.removeprefix("saved to ")).parent == tmp_path / "bench"


def test_load_and_time_are_those_around_the_bench(measured, monkeypatch):
    loads = iter([0.5, 1.5])
    monkeypatch.setattr(command.machine, "load_average", lambda: next(loads))
    result = command.run_bench(Name.EXCHANGE, 0.5)
    assert (result.load_before, result.load_after) == (0.5, 1.5)
    assert result.elapsed_s >= 0
    assert result.figures == [FIGURE]


def test_the_module_is_imported_when_its_bench_runs(monkeypatch):
    monkeypatch.setattr(exchange, "measure", lambda scale: [Figure("", scale, "")])
    assert command.run_bench(Name.EXCHANGE, 0.25).figures[0].value == 0.25


def test_the_command_measures_and_saves(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "bench", "exchange", "--scale", "0.01"],
        env=os.environ | {"TICK_HOME": str(tmp_path), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "exchange (load" in run.stdout
    (result,) = saved_results(tmp_path)
    assert [figure["unit"] for figure in result["figures"]] == ["ticks/s CPU"] * 2
