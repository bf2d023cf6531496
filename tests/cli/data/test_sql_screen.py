"""`tick sql` on screens: wide in a file, a table per row on a narrow terminal, no surprises."""

import pyarrow as pa
import pytest

from cli.data import sql
from contracts.errors import DatasetError
from tests.cli.screens import lines, screen, text

SCHEMA = pa.schema(
    [("symbol", pa.string()), ("price", pa.float64()), ("n", pa.int64()), ("[red]", pa.string())]
)
ROW = ["BINANCE:BTCUSDT", "61234.5", "7", "[/bold] :smile:"]


def printed(rows: list[list[str]], width: int, *, terminal: bool) -> list[str]:
    console = screen(width, terminal=terminal, colours=False)
    sql._print_rows(console, SCHEMA, rows)
    return lines(console)


@pytest.mark.parametrize("rows", [[], [ROW], [ROW] * 3])
def test_a_terminal_that_is_wide_enough_shows_a_line_per_row(rows):
    output = printed(rows, 80, terminal=True)
    assert len(output) == 1 + len(rows)
    assert all("[/bold] :smile:" in line for line in output[1:])


def test_a_narrow_terminal_shows_a_table_per_row():
    output = printed([ROW, ROW], 30, terminal=True)
    assert [line for line in output if line.startswith("row ")] == ["row 1", "row 2"]
    assert max(map(len, output)) <= 30
    assert sum("BINANCE:BTCUSDT" in line for line in output) == 2


def test_a_file_has_a_line_per_row_however_narrow():
    output = printed([["x" * 500, "1", "2", ""]], 80, terminal=False)
    assert len(output) == 2
    assert "x" * 500 in output[1]


def test_numbers_are_aligned_at_the_right():
    output = printed([["a", "1.5", "7", ""], ["b", "100.25", "12345", ""]], 80, terminal=False)
    assert output[1].index("1.5") + 3 == output[2].index("100.25") + 6
    assert output[1].index("7") + 1 == output[2].index("12345") + 5


def test_a_result_without_columns_is_nothing():
    console = screen()
    sql._print_rows(console, pa.schema([]), [])
    assert text(console).strip() == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (0, "0"),
        (1.5, "1.5"),
        ("text", "text"),
        ("", ""),
        ("two\nlines", r"two\nlines"),
        ("\x1b[2J", r"\x1b[2J"),
        (b"\xff\x00a", r"\xff\x00a"),
        ([1, None], "[1, None]"),
    ],
)
def test_no_value_can_move_the_cursor(value, shown):
    assert sql._format_value(value) == shown


@pytest.mark.parametrize(
    ("hidden", "text_"),
    [
        (0, ""),
        (1, ", 1 more: --limit shows them"),
        (sql.COUNTED_MAX, ", 1,000,000 more"),
        (sql.COUNTED_MAX + 1, ", more than 1,000,000 more"),
    ],
)
def test_hidden_rows_are_counted_to_a_limit(hidden, text_):
    assert sql._describe_hidden(hidden).startswith(text_)
    assert bool(sql._describe_hidden(hidden)) is bool(hidden)


def batches(*sizes: int) -> pa.RecordBatchReader:
    schema = pa.schema([("n", pa.int64())])
    produced = (pa.record_batch([pa.array(range(size))], schema=schema) for size in sizes)
    return pa.RecordBatchReader.from_batches(schema, produced)


@pytest.mark.parametrize(
    ("sizes", "limit", "shown", "hidden"),
    [
        ((), 5, 0, 0),
        ((3,), 5, 3, 0),
        ((5,), 5, 5, 0),
        ((3, 3), 5, 5, 1),
        ((3, 0, 3, 4), 1, 1, 9),
    ],
)
def test_the_first_rows_are_shown_across_batches(sizes, limit, shown, hidden):
    rows, others = sql._take_rows(batches(*sizes), limit)
    assert (len(rows), others) == (shown, hidden)


def test_counting_ends_with_the_batch_that_exceeds_the_limit(monkeypatch):
    monkeypatch.setattr(sql, "COUNTED_MAX", 10)
    reader = batches(8, 8, 8)
    rows, hidden = sql._take_rows(reader, 1)
    assert (len(rows), hidden) == (1, 15)
    assert sum(batch.num_rows for batch in reader) == 8, "the last batch was not read"


def test_one_file_is_chosen_and_two_are_refused(tmp_path):
    none = dict.fromkeys(("csv", "json", "parquet"))
    assert sql._choose_file(none) is None
    assert sql._choose_file(none | {"json": tmp_path}) == ("json", tmp_path)
    with pytest.raises(DatasetError, match="--csv, --parquet: only one file at a time") as error:
        sql._choose_file(none | {"csv": tmp_path, "parquet": tmp_path})
    assert error.value.hint == "use one of --csv, --json and --parquet"
