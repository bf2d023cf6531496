"""`tick load` and `tick sql`: what they print, what they write, and their errors."""

import csv
import json

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings

HEADER = "venue,symbol,event_time_us,price,size,trade_id"
START_US = 1_710_720_000_000_000


@pytest.fixture
def tick(tmp_path, monkeypatch):
    """Runs a command on a separate lakehouse; returns exit code, standard output and standard
    error.
    """
    monkeypatch.setenv("TICK_HOME", str(tmp_path / "home"))
    settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [str(word) for word in arguments], env={"COLUMNS": "200"})
        return result.exit_code, result.stdout, result.stderr

    yield run
    settings.cache_clear()


@pytest.fixture
def trades(tmp_path):
    """60 ticks, one of them twice, and two invalid rows."""
    lines = [f"V,[red]S,{START_US + i},{100 + i},1,{i}" for i in range(60)]
    file = tmp_path / "trades.csv"
    file.write_text("\n".join([HEADER, *lines, lines[0], "V,S,1,1,1,x", "V,S,nonsense", ""]))
    return file


def test_a_load_counts_every_row(tick, trades):
    code, output, _ = tick("load", trades, "--no-progress")
    assert code == 0
    assert "63 rows read" in output and "from canonical-csv" in output
    lines = [line.strip() for line in output.splitlines()]
    assert lines[1:4] == [
        "60 loaded in 1 commits",
        "0 already there",
        "1 duplicates inside the files",
    ]
    assert (
        lines[4].startswith("2 rejected (")
        and "time_out_of_bounds 1" in lines[4]
        and "invalid_field 1" in lines[4]
    )
    code, output, bar = tick("load", trades, "--progress")
    assert "0 loaded" in output and "61 already there" in output and "0 duplicates" in output
    assert "100 %" in bar


def test_options_override_the_file_and_a_wrong_format_lists_all(tick, trades):
    assert tick("load", trades, "--venue", "W", "--symbol", "T", "--no-progress")[0] == 0
    assert "W:T" in tick("sql", "SELECT DISTINCT venue || ':' || symbol FROM silver.ticks")[1]
    code, _, error = tick("load", trades, "--format", "nope")
    assert code == 1 and "canonical-parquet" in error
    assert tick("load", trades.with_name("missing.csv"))[0] == 1


def test_fifty_rows_are_shown_and_the_others_counted(tick, trades):
    tick("load", trades, "--no-progress")
    _, output, _ = tick("sql", "SELECT * FROM silver.tick_data ORDER BY seq")
    assert "50 rows, 10 more" in output and "[red]S" in output
    assert output.count("\n") == 52  # with a header, however wide the rows are
    _, output, _ = tick("sql", "SELECT seq FROM silver.tick_data", "--limit", "60")
    assert output.strip().endswith("60 rows")
    _, output, _ = tick(
        "sql", "SELECT source, row_number, reason, raw FROM silver.dead_letter ORDER BY row_number"
    )
    assert "V,S,nonsense" in output and "time_out_of_bounds" in output


def test_every_format_holds_every_row(tick, trades, tmp_path):
    tick("load", trades, "--no-progress")
    query = (
        "SELECT event_time, seq, bid, trade_id, sum(side) OVER () total, raw.n FROM silver.ticks,"
        " (SELECT {'n': 1} raw) ORDER BY seq"
    )
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "json", "parquet")}
    for kind, file in files.items():
        code, output, errors = tick("sql", query, f"--{kind}", file)
        assert (code, output, errors.strip()) == (0, "", f"60 rows in {file}")
    lines = list(csv.DictReader(files["csv"].read_text().splitlines()))
    objects = [json.loads(line) for line in files["json"].read_text().splitlines()]
    frame = pl.read_parquet(files["parquet"])
    assert len(lines) == len(objects) == frame.height == 60
    assert lines[3]["seq"] == "3" and objects[3]["seq"] == 3 and frame["seq"][3] == 3
    assert lines[3]["bid"] == "" and objects[3]["bid"] is None
    assert objects[3]["total"] == 0
    assert not list(tmp_path.glob(".*.partial"))


def test_an_answer_without_rows_is_a_header(tick, tmp_path):
    nothing = "SELECT venue, price FROM silver.ticks"
    assert tick("sql", nothing, "--csv", "-")[1] == "venue,price\n"
    assert tick("sql", nothing, "--json", "-")[1] == ""
    assert "0 rows" in tick("sql", nothing)[1]
    tick("sql", nothing, "--parquet", tmp_path / "empty.parquet")
    assert pl.read_parquet(tmp_path / "empty.parquet").columns == ["venue", "price"]


def test_nested_values_and_bytes_are_written_as_text(tick):
    query = r"SELECT [1, 2] a, {'b': 1} s, '\xff'::BLOB raw"
    assert tick("sql", query, "--csv", "-")[1].splitlines()[1] == r'"[1,2]","{""b"":1}",\xff'
    assert json.loads(tick("sql", query, "--json", "-")[1]) == {
        "a": [1, 2],
        "s": {"b": 1},
        "raw": r"\xff",
    }


def test_a_plan_is_printed_unchanged(tick):
    _, output, _ = tick("sql", "EXPLAIN SELECT count(*) FROM silver.tick_data WHERE price > 1")
    assert "price" in output and "rows" not in output.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["DROP VIEW silver.ticks"], "DROP is not allowed"),
        (["SELECT 1", "--csv", "a", "--json", "b"], "--csv, --json: only one file at a time"),
        (["SELECT 1", "--csv", "/nowhere/at/all.csv"], "`mkdir -p /nowhere/at`"),
        (["SELECT 1", "--csv", "/proc/all.csv"], "/proc/all.csv cannot be written"),
        (["SELECT 1", "--as-of", "7"], "no table has a snapshot 7"),
    ],
)
def test_errors_name_the_value_and_the_way_on(tick, arguments, message):
    code, output, error = tick("sql", *arguments)
    assert (code, output) == (1, "")
    assert message in error and "→" in error
