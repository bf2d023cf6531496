"""Printed daily statistics and drift."""

from math import nan

import pytest

from cli.reports.statistics_report import DAYS_LISTED_MAX, print_drift, print_statistics
from tests.cli.screens import lines, screen, text
from training.daily_stats.compute import DailyStatsReport
from training.monitoring.drift_check import DriftCheck
from training.tick.drift import ColumnDrift, DriftVerdict, IcEstimate

IC = IcEstimate(0.0456, 0.01, 0.08, 5)
COLUMNS = (
    ColumnDrift("calm", 0.01, 0.02, 0.5, 0.0),
    ColumnDrift("moved", 0.3, 0.4, 1e-9, 0.125),
    ColumnDrift("shifted", 0.15, nan, nan, 1.0),
)


def statistics(**fields) -> str:
    console = screen()
    print_statistics(console, DailyStatsReport(0, 1, **fields))
    return text(console)


def check(reasons: tuple[str, ...] = (), *, due: bool = False, ic: IcEstimate = IC) -> DriftCheck:
    return DriftCheck(DriftVerdict(COLUMNS, ic, reasons), due, "3", 12_345, None)


def drift(outcome: DriftCheck) -> list[str]:
    console = screen(120)
    print_drift(console, outcome)
    return lines(console)


def test_nothing_computed_is_one_line():
    assert statistics() == "0 days computed\n"


def test_rows_are_counted_by_table():
    output = statistics(days=["2026-03-01"], rows={"gold.tick_daily": 1_234, "gold.profile": 24})
    assert output == "1 days computed\n  gold.tick_daily: 1,234 rows\n  gold.profile: 24 rows\n"


@pytest.mark.parametrize("count", [1, DAYS_LISTED_MAX, DAYS_LISTED_MAX + 1])
def test_holes_are_listed_to_a_limit_and_the_others_counted(count):
    days = [f"day{number:02}" for number in range(count)]
    output = statistics(holes=days, unfinished=["today"])
    assert f"{count} days without ticks: day00" in output
    assert ("day10" in output) is False
    assert ("and 1 more" in output) is (count > DAYS_LISTED_MAX)
    assert "1 days not over yet, skipped: today" in output


def test_a_long_list_is_one_line_that_a_script_can_read():
    output = statistics(missing=[f"VENUE:SYMBOL{number}" for number in range(9)])
    assert output.splitlines()[1].startswith("no ticks of VENUE:SYMBOL0, VENUE:SYMBOL1")
    assert output.count("\n") == 2


def test_the_most_drifted_column_is_the_first():
    table = [line.strip("│").split("│") for line in drift(check()) if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in table] == [
        ["moved", "0.300", "alert", "0.400", "1e-09", "12.5%"],
        ["shifted", "0.150", "warn", "nan", "nan", "100.0%"],
        ["calm", "0.010", "ok", "0.020", "0.5", "0.0%"],
    ]


@pytest.mark.parametrize(
    ("ic", "line"),
    [
        (IC, "IC of the last 5 days 0.0456, 95 % interval 0.01 to 0.08"),
        (
            IcEstimate(nan, nan, nan, 3),
            "no IC: 3 days with decisions; it needs five, and forecasts that vary",
        ),
    ],
)
def test_the_information_coefficient_has_its_interval_or_the_reason_for_none(ic, line):
    assert line in drift(check(ic=ic))


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (check(), "no retrain: version 3, 12,345 decisions"),
        (check(("three alerts",), due=True), "retrain version 3 with `tick train tick`"),
        (check(("three alerts",)), "a retrain is recommended, but the last training is less than"),
    ],
    ids=["calm", "due", "too early"],
)
def test_the_last_line_says_what_to_do(outcome, line):
    assert drift(outcome)[-1].startswith(line)


def test_each_reason_is_a_line():
    printed = drift(check(("three alerts", "IC below 0"), due=True))
    assert printed[-3:-1] == ["✗ three alerts", "✗ IC below 0"]


def test_the_level_is_coloured_on_a_terminal():
    console = screen(120, terminal=True)
    print_drift(console, check())
    assert "\x1b[1;31malert" in text(console)
