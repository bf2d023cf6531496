"""Predictions as `tick predict` prints them."""

import pytest

from cli.reports.predictions_table import print_predictions
from tests.cli.screens import cells, lines, screen, text

OK = {
    "symbol": "BINANCE:BTCUSDT",
    "status": "ok",
    "prediction_bps": -0.1234,
    "horizon_s": 60,
    "model_name": "tick-model",
    "model_version": "12",
    "age_s": 1.26,
}
REFUSED = {"symbol": "V:A", "status": "no_features", "reason": "no row of the last 60 s"}


def rows(results: list[dict], width: int = 120) -> list[list[str]]:
    console = screen(width)
    print_predictions(console, results)
    return [cells(line) for line in lines(console)]


def test_a_forecast_has_its_unit_its_horizon_its_model_and_its_age():
    assert rows([OK]) == [
        ["symbol", "forecast (bps)", "horizon", "model", "age", "remark"],
        ["BINANCE:BTCUSDT", "-0.123", "60 s", "tick-model v12", "1.3 s"],
    ]


@pytest.mark.parametrize(
    ("remarks", "shown"),
    [
        ({}, []),
        ({"stale": False}, []),
        ({"stale": True}, ["stale"]),
        ({"note": "a feature is clipped"}, ["a feature is clipped"]),
        ({"stale": True, "note": "served by a challenger"}, ["stale; served by a challenger"]),
    ],
)
def test_remarks_are_joined(remarks, shown):
    assert rows([OK | remarks])[1][5:] == shown


@pytest.mark.parametrize(("age", "shown"), [({}, "–"), ({"age_s": 0.0}, "0.0 s")])
def test_a_refusal_has_its_status_and_its_reason(age, shown):
    assert rows([REFUSED | age])[1] == [
        "V:A",
        "–",
        "–",
        "–",
        shown,
        "no_features: no row of the last 60 s",
    ]


def test_no_symbol_is_a_table_without_rows():
    assert len(rows([])) == 1


def test_features_follow_the_table_as_they_are():
    printed = rows([OK | {"features": {"volume_10s": 1.5, "[red]x": None}}, REFUSED])
    assert len(printed) == 5
    assert printed[3] == ["BINANCE:BTCUSDT", "volume_10s = 1.5"]
    assert printed[4] == ["BINANCE:BTCUSDT", "[red]x = None"]


def test_a_file_gets_no_colours_and_80_columns_suffice():
    console = screen()
    print_predictions(console, [OK, REFUSED])
    assert "\x1b" not in text(console)
    assert max(map(len, lines(console))) <= 80
