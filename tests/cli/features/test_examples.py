"""`tick features test` and `tick features try` without any service."""

import re
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples").glob("*.yaml"))
TICKS = [[0.5, 100.0, 1.0, 1], [11.5, 102.0, 3.0, -1], [13.2, 102.0, 1.0]]
LINE = {"name": "mine", "formula": "{sv} / {n}", "unit": "base", "scale": 1e-3, "windows_s": [10]}


@pytest.fixture
def tick(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(command: str, *arguments: str, **example) -> tuple[int, str]:
        file = tmp_path / "example.yaml"
        file.write_text(yaml.safe_dump({"ticks": TICKS, **example}, sort_keys=False))
        result = CliRunner().invoke(
            app, ["features", command, *(word.replace("FILE", str(file)) for word in arguments)]
        )
        return result.exit_code, result.output

    return call


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.name)
def test_every_example_in_the_docs_holds(example):
    result = CliRunner().invoke(app, ["features", "test", str(example)])
    assert result.exit_code == 0, result.output
    assert re.search(r"([1-9]\d*) of \1 values are as expected", result.output)


def test_right_and_wrong_values_are_marked(tick):
    values = {
        "mine_10s": -3,
        "volume_10s": 3.1,
        "bipower_vol_10s": None,
        "log_return_10s": None,
        "vwap_dev_10s": 1e-14,
    }
    code, output = tick("test", "FILE", features=[LINE], expect=[{"at": 12, **values}])
    assert code == 1 and "3 of 5 values are as expected" in output
    marks = {
        cells[1]: cells[0]
        for line in output.splitlines()
        if len(cells := line.split()) > 3 and cells[0] in "✓✗"
    }
    assert marks == {
        "mine_10s": "✓",
        "volume_10s": "✗",
        "bipower_vol_10s": "✓",
        "log_return_10s": "✗",
        "vwap_dev_10s": "✓",
    }
    assert "-1.0e-01 allowed ±3.1e-09" in output


def test_a_tolerance_may_be_wider(tick):
    expect = [{"at": 12, "log_return_10s": 0.0198}]
    assert tick("test", "FILE", expect=expect)[0] == 1
    assert tick("test", "FILE", expect=expect, tolerance=1e-3)[0] == 0


def test_a_line_of_an_existing_name_replaces_it(tick):
    line = {
        "name": "volume",
        "formula": "2 * {v}",
        "unit": "base",
        "scale": "1e-3",
        "windows_s": [10],
    }
    assert tick("test", "FILE", features=[line], expect=[{"at": 12, "volume_10s": 6}])[0] == 0


@pytest.mark.parametrize(
    "at", [12, "2024-01-01T00:00:12Z", "2024-01-01 00:00:12", "2024-01-01T01:00:12+01:00"]
)
def test_a_row_is_named_by_seconds_or_by_utc(tick, at):
    assert tick("test", "FILE", expect=[{"at": at, "volume_10s": 3}])[0] == 0


@pytest.mark.parametrize("value", ["LN(102 / 100)", "ln(1.02)", "0.01980262729617973"])
def test_a_value_may_be_an_expression(tick, value):
    assert tick("test", "FILE", expect=[{"at": 12, "log_return_10s": value}])[0] == 0


def test_ticks_may_come_from_a_file_of_any_feed(tick, tmp_path):
    start_us = 1_704_067_200_000_000
    trades = pl.DataFrame(
        {
            "symbol": ["A", "B", "A", "A"],
            "event_time_us": [0, 1, 11_500_000, 12_000_000],
            "price": 5.0,
            "size": [1, 1, 2, -1],
        }
    )
    trades.with_columns(pl.col("event_time_us") + start_us).write_csv(tmp_path / "trades.csv")
    expect = [{"at": "2024-01-01T00:00:12Z", "symbol": "FILE:A", "volume_10s": 2}]
    code, output = tick("test", "FILE", ticks="trades.csv", expect=expect)
    assert code == 0 and "1 rows of trades.csv are not ticks" in output
    code, output = tick("test", "FILE", ticks="trades.csv", expect=[{"at": 12, "volume_10s": 2}])
    assert code == 1 and "names no symbol" in output and "FILE:A, FILE:B" in output


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"expect": [{"at": 12, "volum_10s": 3}]}, "did you mean volume_10s"),
        (
            {"expect": [{"at": 13, "volume_10s": 3}]},
            "nearest: 2024-01-01 00:00:01 (at: 1), 2024-01-01 00:00:12 (at: 12)",
        ),
        ({"expect": [{"at": 12, "volume_5m": 3}]}, "tick_10s has no row"),
        ({"expect": [{"at": 12.5, "volume_10s": 3}]}, "12.5 is not the time of a row"),
        ({"expect": [{"at": "noon", "volume_10s": 3}]}, "'noon' is not the time"),
        ({"expect": [{"at": 1e300, "volume_10s": 3}]}, "1e+300 is not the time"),
        ({"expect": [{"at": float("inf"), "volume_10s": 3}]}, "inf is not the time"),
        ({"expect": [{"at": 12}]}, "needs `at` and a value"),
        ({"expect": [{"volume_10s": 3}]}, "needs `at` and a value"),
        ({"expect": [{"at": 12, "symbol": "A:B", "volume_10s": 3}]}, "no ticks of A:B"),
        ({"expect": [{"at": 12, "volume_10s": "three"}]}, "neither number, null nor expression"),
        ({"expect": []}, "expect: "),
        ({"expects": []}, "a feature example has the fields ticks, symbol"),
        (
            {"ticks": [[0.5, -1.0, 1.0]], "expect": [{"at": 1, "volume_10s": 3}]},
            "is invalid: not_positive",
        ),
        (
            {"ticks": [[1e12, 1.0, 1.0]], "expect": [{"at": 1, "volume_10s": 3}]},
            "time_out_of_bounds",
        ),
        ({"ticks": [[float("nan"), 1.0, 1.0]], "expect": [{"at": 1, "volume_10s": 3}]}, "ticks → "),
        ({"ticks": [[0.5, 1.0]], "expect": [{"at": 1, "volume_10s": 3}]}, "tick 1 is [0.5, 1.0]"),
        ({"ticks": "none.csv", "expect": [{"at": 1, "volume_10s": 3}]}, "none.csv"),
        (
            {"features": [LINE | {"scales": 1}], "expect": [{"at": 12, "mine_10s": 3}]},
            "unknown field scales",
        ),
        (
            {"features": [{"name": "mine"}], "expect": [{"at": 12, "mine_10s": 3}]},
            "features → 1 → formula",
        ),
        (
            {"features": [LINE | {"formula": "{vs}"}], "expect": [{"at": 12, "mine_10s": 3}]},
            "unknown aggregate {vs}",
        ),
        (
            {
                "features": [LINE | {"formula": "{v} / value"}],
                "expect": [{"at": 12, "mine_10s": 3}],
            },
            "'value' is a reserved SQL word",
        ),
        (
            {"features": [LINE | {"formula": "{v} +"}], "expect": [{"at": 12, "mine_10s": 3}]},
            "mine_10s cannot be computed: Parser Error",
        ),
        (
            {
                "aggregates": [{"name": "x", "verb": "mean", "of": "v"}],
                "expect": [{"at": 12, "volume_10s": 3}],
            },
            "unknown verb 'mean'",
        ),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_an_error_names_the_value_and_the_way_on(tick, example, message):
    code, output = tick("test", "FILE", **example)
    assert code == 1 and message in output, output
    assert "→" in output


def test_a_value_that_is_not_finite_is_wrong(tick):
    code, output = tick(
        "test",
        "FILE",
        features=[LINE | {"formula": "1 / ({s} + 1e0)"}],
        expect=[{"at": 12, "mine_10s": None}],
    )
    assert code == 1 and "inf" in output


def test_no_file_and_no_yaml(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("formula: {a} / {b}\n  x")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(128, 256)))
    for file, message in (
        (tmp_path / "none.yaml", "cannot read"),
        (broken, "is not valid YAML"),
        (binary, "is not valid YAML"),
    ):
        result = CliRunner().invoke(app, ["features", "test", str(file)])
        assert result.exit_code == 1 and message in result.output


def test_try_prints_full_windows(tick):
    code, output = tick(
        "try", "{sv} / {n}", "FILE", "--window", "10s", expect=[{"at": 12, "volume_10s": 3}]
    )
    assert code == 0
    assert [line.split()[2:] for line in output.splitlines()[1:]] == [
        ["00:00:12", "-3"],
        ["00:00:14", "-1.5"],
    ]


def test_try_reads_files_of_trades_and_refuses_too_short_ones(tick, tmp_path):
    pl.DataFrame(
        {"symbol": "A", "event_time_us": [1_704_067_200_000_000], "price": 5.0, "size": 1}
    ).write_csv(tmp_path / "t.csv")
    code, output = tick("try", "{v}", str(tmp_path / "t.csv"), "--window", "1h")
    assert code == 1 and "no row has 1h of history" in output
    assert "unknown window '2h'" in tick("try", "{v}", str(tmp_path / "t.csv"), "--window", "2h")[1]


def test_try_warns_of_values_that_are_not_numbers(tick):
    arguments = ("try", "LN({sv})", "FILE", "--window", "10s")
    assert "--null-if" in tick(*arguments, expect=[{"at": 1, "volume_10s": None}])[1]
    assert (
        "--null-if"
        not in tick(*arguments, "--null-if", "{sv} <= 0", expect=[{"at": 1, "volume_10s": None}])[1]
    )
