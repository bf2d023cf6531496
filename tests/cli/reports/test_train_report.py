"""The tables of a training: gate, backtests, folds."""

from math import inf, nan

import pytest

from cli.models.train import _print_summary
from cli.reports import train_report
from tests.cli.reports.reports import FOLD, NO_WALK, PASSED, REFUSED, tick_training
from tests.cli.screens import lines, render, screen
from training.run.gate import GateCheck, GateVerdict
from training.tick.evaluation.walk_forward import WalkForward

WIDE = 200


def bars(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]


def rows(table, width: int = WIDE) -> list[list[str]]:
    return [bars(line) for line in render(table, width) if line.startswith("│")]


def test_each_check_has_its_value_its_limit_and_a_mark():
    assert rows(train_report.verdict_table(REFUSED)) == [
        ["sharpe", "0.5", "> 1", "✗"],
        ["max_drawdown", "0.1", "< 0.2", "✓"],
    ]


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_check_that_is_not_a_number_did_not_pass(value):
    verdict = GateVerdict((GateCheck("sharpe", value, ">", 1.0),), ("sharpe",))
    assert rows(train_report.verdict_table(verdict)) == [["sharpe", str(value), "> 1", "✗"]]


def test_a_gate_without_checks_is_a_table_without_rows():
    assert rows(train_report.verdict_table(GateVerdict((), ("sharpe",)))) == []


def test_the_title_says_which_gate_it_is():
    assert "net of cost" in render(train_report.verdict_table(PASSED))[0]
    assert render(train_report.verdict_table(PASSED, "Another"))[0].strip() == "Another"


def test_the_model_is_listed_at_each_cost_before_its_rivals():
    table = rows(train_report.backtest_table(tick_training()))
    assert [row[0] for row in table] == ["model, 0 bp", "model, 1 bp", "lightgbm"]
    assert table[0][1:] == [
        "1.23",
        "0.0321",
        "1234",
        "12.5",
        "0.515",
        "1.75",
        "0.0456",
        "0.0412",
    ]


def test_a_fold_has_its_day_its_rows_and_the_numbers_of_three_models():
    assert rows(train_report.folds_table(WalkForward([FOLD], {}, ""))) == [
        ["1", "2024-03-01 00:00", "12,345", "6,789", "60", *["1.23, 0.0456"] * 3]
    ]


def test_the_joined_folds_are_counted_in_the_title():
    printed = render(train_report.walk_table(tick_training().walk_forward), WIDE)
    assert "2 folds joined" in printed[0]
    assert "random_forest" in "".join(printed)


@pytest.mark.parametrize(
    "table",
    [
        train_report.verdict_table(REFUSED),
        train_report.backtest_table(tick_training()),
        train_report.folds_table(tick_training().walk_forward),
    ],
    ids=["gate", "backtests", "folds"],
)
def test_a_table_fits_80_columns(table):
    assert max(map(len, render(table))) <= 80


def test_a_refusal_has_every_reason_and_a_repeated_model_a_remark():
    text = train_report.describe_refusal(REFUSED)
    assert text.endswith("nothing registered: sharpe 0.5 is not > 1; the data ends too early")
    assert train_report.describe_repeated(repeated=False) == ""
    assert "no second version" in train_report.describe_repeated(repeated=True)


class TestSummary:
    def summary(self, **fields) -> str:
        console = screen(WIDE)
        _print_summary(console, tick_training(**fields))
        return "\n".join(lines(console))

    def test_a_promotion_names_the_version_and_how_to_reproduce_it(self):
        text = self.summary()
        assert "promoted: version 3 is Production" in text
        assert "`tick dataset rebuild 0123456789abcdef0123456789abcdef`" in text
        assert "123,456 training and 7,890 test rows from BINANCE:BTCUSDT" in text
        assert "Sharpe 95 % interval 0.5 to 2.5" in text
        assert "deflated Sharpe probability 0.987 (trainings: 4)" in text
        assert "planted" not in text and "walk-forward" not in text

    def test_a_refusal_has_its_reasons(self):
        text = self.summary(version=None, verdict=REFUSED)
        assert "refused: sharpe 0.5 is not > 1; the data ends too early" in text
        assert "Production" not in text

    def test_synthetic_data_and_missing_folds_are_pointed_out(self):
        text = self.summary(synthetic=True, walk_forward=NO_WALK)
        assert "planted signal" in text
        assert "walk-forward: 8 days are too few for folds" in text
