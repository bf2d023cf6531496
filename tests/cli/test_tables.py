"""Tables, lists and counts as every command prints them."""

from collections import Counter

import pytest

from cli.exit_codes import FAILED, REFUSED, exit_if
from cli.tables import build_list, build_table, format_optional, list_counts
from tests.cli.screens import render, screen, text

COLUMNS = ("name", "count")


@pytest.mark.parametrize("rows", [[], [("a", "1")], [("a", "1"), ("b", "2"), ("c", "3")]])
def test_a_table_has_its_titles_and_a_line_per_row(rows):
    printed = [line.split() for line in render(build_table(COLUMNS, rows, box=None))]
    assert printed == [list(COLUMNS), *(list(row) for row in rows)]


def test_rows_may_come_from_a_generator():
    table = build_table(COLUMNS, ((name, "1") for name in "ab"), box=None)
    assert table.row_count == 2


def test_the_options_are_those_of_rich():
    printed = render(build_table(COLUMNS, [("a", "1")], title="Things"))
    assert printed[0].strip() == "Things"
    assert printed[1].startswith("┏")


def test_a_list_has_no_titles():
    printed = render(build_list({"first": "1", "second": "2"}, box=None))
    assert [line.split() for line in printed] == [["first", "1"], ["second", "2"]]


def test_a_long_cell_is_broken_between_words_only():
    sentence = "every word of this sentence is complete on one of the lines of its cell"
    printed = render(build_table(COLUMNS, [("a", f"{sentence} {sentence}")], box=None))
    assert max(map(len, printed)) <= 80
    words = " ".join(printed[1:]).split()
    assert words == ["a", *sentence.split(), *sentence.split()]


def test_marks_are_colours_on_a_terminal_and_nothing_in_a_file():
    table = build_table(COLUMNS, [("[bold red]✗[/]", "1")], box=None)
    file, terminal = screen(), screen(terminal=True)
    file.print(table)
    terminal.print(table)
    assert "\x1b" not in text(file) and "✗" in text(file)
    assert "\x1b[1;31m✗" in text(terminal)


@pytest.mark.parametrize(
    ("value", "template", "expected"),
    [
        (None, "{:.1f} s", "–"),
        (0, "{:.1f} s", "0.0 s"),
        (0.0, "{:,.0f} ms", "0 ms"),
        (1234.5, "{:,.1f} ms", "1,234.5 ms"),
        (float("nan"), "{:.1f}", "nan"),
    ],
)
def test_an_absent_number_is_a_dash_and_zero_is_not(value, template, expected):
    assert format_optional(value, template) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, ""),
        ({"late": 1}, "late 1"),
        ({"late": 1, "invalid": 12_345}, "invalid 12,345, late 1"),
        (Counter("aab"), "a 2, b 1"),
    ],
)
def test_counts_are_listed_with_the_largest_first(counts, expected):
    assert list_counts(counts) == expected


def test_an_exit_code_is_that_of_the_condition():
    import typer

    exit_if(False, FAILED)
    for code in (FAILED, REFUSED):
        with pytest.raises(typer.Exit) as ended:
            exit_if(True, code)
        assert ended.value.exit_code == code
    assert len({0, 2, FAILED, REFUSED}) == 4, "0 is success and 2 a wrong argument"
