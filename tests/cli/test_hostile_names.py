"""Names of others, such as symbols of a file, are printed as they are: rich must not read them as
markup, which would hide them or end the command.
"""

from math import inf
from types import SimpleNamespace

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.data.dead_letters import _letters_table
from cli.features import backfill, examples
from cli.main import app
from cli.reports import airflow_tables, parity_report, predictions_table, statistics_report
from contracts.features import Feature
from feature_store.backfill.run import BackfillReport
from feature_store.definition.examples import Outcome
from feature_store.parity.column_diff import ColumnDiff, Where
from streaming.dead_letters import DeadLetter
from tests.cli.screens import lines, render, screen, text
from training.daily_stats.compute import DailyStatsReport

NAMES = ["V:[/red]A", "V:[bold]A", "V:[link=x]A", "V:[1]"]


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


def test_in_predictions(name):
    refused = {"symbol": name, "status": "no", "reason": f"not {name}"}
    console = screen(160)
    predictions_table.print_predictions(console, [refused])
    assert text(console).count(name) == 2


def test_in_predictions_with_a_note(name):
    result = {
        "symbol": name,
        "status": "ok",
        "prediction_bps": 1.0,
        "horizon_s": 60,
        "model_name": "m",
        "model_version": "1",
        "note": name,
    }
    console = screen(160)
    predictions_table.print_predictions(console, [result])
    assert text(console).count(name) == 2


def test_in_the_largest_error_of_parity(name):
    diff = ColumnDiff("volume", "tick_1s", worst=Where(inf, name, 1, None, 1.0))
    assert name in "".join(render(parity_report.columns_table("title", [diff]), 200))


def test_in_missing_symbols_of_statistics(name):
    console = screen(160)
    statistics_report.print_statistics(console, DailyStatsReport(0, 1, missing=[name]))
    assert f"no ticks of {name}" in text(console)


def test_in_holes_and_failures_of_a_backfill(name):
    console = screen(160)
    chunk = SimpleNamespace()
    backfill.print_result(console, BackfillReport(failed={str(chunk): name}, holes={name: [0]}))
    assert f"hole: {name} has no ticks on 1 days: 1970-01-01" in text(console)
    assert text(console).count(name) == 2


def test_in_a_formula_that_is_tried(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    rows = pl.DataFrame({"symbol": [name], "event_time_us": [1_000_000], "tried_10s": [1.5]})
    feature = Feature("tried", "{sv} / [red]", "", 1.0, windows_s=(10,))
    examples._print_values(rows, feature, "10s")
    output = capsys.readouterr().out
    assert name in output
    assert "{sv} / [red] over 10s" in output


def test_in_the_outcomes_of_an_example(name, capsys):
    outcome = Outcome(symbol=name, sec=1, feature="volume_10s", expected=1.0, got=1.0, allowed=1e-9)
    examples._print_outcomes([outcome])
    assert f"{name}, row that ends at" in capsys.readouterr().out


def test_in_the_owners_of_a_dag(name):
    dag = {"dag_id": "d", "is_paused": False, "owners": [name], "timetable_summary": None}
    assert name in "".join(render(airflow_tables.dags_table([dag], []), 160))


def test_in_dead_letters(name):
    letter = DeadLetter(name, f"feed:{name}/0/1", name.encode(), 0, 9)
    console = screen(200)
    console.print(_letters_table([letter]))
    assert text(console).count(name) == 3


def test_control_characters_of_a_message_are_escaped():
    letter = DeadLetter("invalid", "ticks/0/1", b"\x1b[2J\x00\xff", 1_709_251_200_999, 1_234)
    console = screen(160, terminal=True)
    console.print(_letters_table([letter]))
    assert "\x1b[2J" not in text(console)
    row = lines(console)[1]
    assert r"\x1b[2J\x00\xff" in row
    assert "2024-03-01 00:00:00" in row and "1,234" in row


def test_only_the_start_of_a_long_message_is_shown():
    letter = DeadLetter("too_long", "ticks/0/1", b"x" * 70_000, 0, 70_000)
    assert "".join(render(_letters_table([letter]), 400)).count("x") == 100


@pytest.mark.parametrize("command", ["env", "synth"])
def test_in_the_path_of_a_file(command, tmp_path):
    file = tmp_path / "[red]folder" / "file"
    file.parent.mkdir()
    arguments = {
        "env": ["env", "--file", str(file)],
        "synth": ["synth", str(file), "--preset", "fixture", "--days", "0.001"],
    }[command]
    result = CliRunner(env={"COLUMNS": "400"}).invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "[red]folder" in result.output
    assert file.exists()
