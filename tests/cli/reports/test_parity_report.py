"""The printed parity report: counts, causes, gaps, and the verdict."""

import json
from dataclasses import replace
from math import inf

import pytest

from cli.reports.parity_report import (
    LISTED_MAX,
    columns_table,
    format_time,
    print_report,
    views_table,
    write_report,
)
from feature_store.parity.column_diff import TOLERANCE, ColumnDiff, ColumnDiffs, Where
from feature_store.parity.coverage import CoverageGap
from feature_store.parity.reference_check import ReferenceCheck
from feature_store.parity.report import Example, ParityReport, Rows
from feature_store.parity.served import Served
from tests.cli.screens import lines, render, screen, text

FROM_US = 1_709_251_200_000_000
HOUR_US = 3_600_000_000
EQUAL = ColumnDiff("volume_10s", "tick_10s", compared=100)
DIFFERENT = ColumnDiff(
    "vwap_dev_10s",
    "tick_10s",
    compared=1_100,
    late=3,
    warm_up=2,
    new_column=1,
    unexplained=4,
    worst=Where(0.5, "V:A", FROM_US, 2.0, 3.0),
)


def report(*diffs: ColumnDiff, **fields) -> ParityReport:
    rows = {"tick_10s": Rows("tick_10s", live=1_000, batch=1_001, compared=990)}
    by_name = ColumnDiffs({(diff.view, diff.name): diff for diff in diffs})
    defaults = {"rows": rows, "diffs": by_name}
    return ParityReport(FROM_US, FROM_US + HOUR_US, FROM_US, **{**defaults, **fields})


def printed(result: ParityReport, width: int = 200) -> str:
    console = screen(width)
    print_report(console, result)
    return "\n".join(lines(console))


def bars(table) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in render(table, 220)
        if line.startswith("│")
    ]


def test_a_view_has_its_counts_by_outcome():
    rows = Rows("tick_1m", 10, 20, 1_234, 4, 5, 6, 7, 8, 9, 11)
    table = bars(views_table(report(rows={"tick_1m": rows})))
    assert table == [["tick_1m", "10", "20", "1,234", "4", "7", "8", "11", "6", "9", "5"]]


@pytest.mark.parametrize(("name", "at"), [("missing", 8), ("extra", 9), ("doubled", 10)])
def test_only_rows_without_a_cause_are_red(name, at):
    clean, dirty = Rows("tick_1m", late=7), Rows("tick_1m", late=7, **{name: 3})
    for rows, red in ((clean, False), (dirty, True)):
        console = screen(220, terminal=True)
        console.print(views_table(report(rows={"v": rows})))
        assert ("\x1b[1;31m3" in text(console)) is red
    assert bars(views_table(report(rows={"v": dirty})))[0][at] == "3"


def test_a_column_has_its_causes_and_its_largest_error():
    assert bars(columns_table("title", [EQUAL, DIFFERENT])) == [
        ["volume_10s", "100", "0", "0", "0", "0", "0", "0", ""],
        [
            "vwap_dev_10s",
            "1,100",
            "10",
            "3",
            "2",
            "1",
            "4",
            "5.0e-01",
            "V:A 2024-03-01 00:00:00: 3 for 2",
        ],
    ]


@pytest.mark.parametrize(
    ("expected", "got", "shown"),
    [(None, 3.0, "3 for NULL"), (2.0, None, "NULL for 2")],
)
def test_a_null_against_a_value_has_no_error_in_numbers(expected, got, shown):
    diff = ColumnDiff("x", "v", worst=Where(inf, "V:A", FROM_US, expected, got))
    row = bars(columns_table("title", [diff]))[0]
    assert row[7] == "NULL"
    assert row[8].endswith(shown)


def test_the_name_of_a_column_is_whole_in_80_columns():
    diff = replace(DIFFERENT, name="realized_vol_ann_10s")
    assert any(diff.name in line for line in render(columns_table("title", [diff]), 80))


def test_a_column_within_a_hundredth_of_the_tolerance_is_not_listed():
    for relative, listed in ((0.009 * TOLERANCE, False), (0.011 * TOLERANCE, True)):
        near = ColumnDiff("nearly", "v", compared=1, worst=Where(relative, "V:A", 1, 1.0, 1.0))
        assert ("nearly" in printed(report(near))) is listed


def test_equal_sides_are_one_table_and_a_verdict():
    output = printed(report(EQUAL))
    assert output.splitlines()[-1].startswith("equal: 100 values of 990 rows")
    assert "Columns that differ" not in output
    assert "reference" not in output and "served" not in output


def test_a_difference_is_in_the_verdict_with_the_number_that_is_explained():
    last = printed(report(DIFFERENT)).splitlines()[-1]
    assert last.startswith("✗ 4 unexplained in 1,100 values of 990 rows")
    assert "3 explained by late ticks, 2 by warm-up" in last


@pytest.mark.parametrize("count", [0, 1, LISTED_MAX, LISTED_MAX + 3])
def test_gaps_are_listed_to_a_limit_and_the_others_counted(count):
    gaps = [CoverageGap("no live job", FROM_US, FROM_US + HOUR_US, 1_234)] * count
    output = printed(report(coverage_gaps=gaps))
    line = "no live job: 2024-03-01 00:00:00 – 2024-03-01 01:00:00, 1,234 rows of the other side"
    assert output.count(line) == min(count, LISTED_MAX)
    assert ("… and 3 more coverage gaps" in output) is (count > LISTED_MAX)


def test_symbols_of_one_side_only_are_listed_to_a_limit():
    symbols = [f"V:{number:02}" for number in range(LISTED_MAX + 1)]
    output = printed(report(never_live=symbols, never_backfilled=["V:Z"]))
    assert "loaded, never live: V:00, V:01" in output
    assert "V:09" in output and "V:10" not in output
    assert "never backfilled: V:Z" in output
    assert "never" not in printed(report())


def test_an_example_has_what_is_wrong_where_and_when():
    example = Example("missing", "tick_1m", "V:A", FROM_US + 1)
    assert "missing: tick_1m V:A 2024-03-01 00:00:01" in printed(report(examples=[example]))


def test_the_other_comparisons_are_counted():
    output = printed(
        report(
            reference=ReferenceCheck(rows=60, extra=2),
            served=Served(records=1_000, compared=990, given=4, malformed=6),
        )
    )
    assert "reference: 60 rows of history evaluated again, 2 unexplained" in output
    assert "served: 990 of 1,000 records compared, 0 unexplained, 4 given, 6 malformed" in output
    assert "repeated," not in output and "undone" not in output


@pytest.mark.parametrize(
    ("time_us", "shown"),
    [
        (FROM_US, "2024-03-01 00:00:00"),
        (FROM_US + 1, "2024-03-01 00:00:01"),
        (FROM_US + 999_999, "2024-03-01 00:00:01"),
        (FROM_US + 1_000_000, "2024-03-01 00:00:01"),
    ],
)
def test_a_time_is_rounded_up_to_the_end_of_its_row(time_us, shown):
    assert format_time(time_us) == shown


def test_the_files_have_the_plot_and_every_number(tmp_path):
    folder = tmp_path / "new" / "folder"
    write_report(folder, report(DIFFERENT))
    assert (folder / "parity.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads((folder / "parity.json").read_text())
    assert document["unexplained"] == 4
    assert [column["name"] for column in document["features"]] == ["vwap_dev_10s"]


def test_names_of_others_are_not_markup():
    hostile = Example("extra", "tick_1m", "V:[/red]A", FROM_US)
    output = printed(report(never_live=["V:[bold]B"], examples=[hostile]))
    assert "V:[bold]B" in output and "V:[/red]A" in output
