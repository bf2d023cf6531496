"""The fast CSV path yields what the line-by-line parser yields, and leaves unusual blocks to it."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from streaming.feeds.formats.canonical import CSV
from streaming.feeds.formats.text import CsvFormat, read_cells
from streaming.feeds.source import Source
from streaming.feeds.types import Names

COLUMNS = ("one", "two", "three")
PLAIN = CsvFormat(
    "plain",
    "three texts",
    (),
    lambda source, names, columns: {name: pl.col(name) for name in columns},
)
cells = st.text(
    st.sampled_from([*"abc019.-+eE \"'#;\\é\u2028\x1f", "\r", "\t", "\0", "\ufeff", "∞"]),
    max_size=5,
)
lines = st.lists(st.lists(cells, min_size=1, max_size=4).map(",".join), max_size=8)


def both(block: bytes, headed: bool, first_row: int = 0):
    fields = {name: pl.col(name) for name in COLUMNS}
    return [
        read(block, first_row, COLUMNS, fields, headed) for read in (PLAIN._chunk, PLAIN._by_line)
    ]


@given(lines, st.booleans(), st.booleans())
@example(["a,b,c", "", "d,e,f"], False, False)
@example([",,", "a,,b"], True, False)
@example(["a,b", "c,d,e,f"], False, False)
@example(["é,ß,∞"], False, True)
def test_every_block_gives_what_reading_by_line_gives(made, headed, ended):
    block = "\n".join(made).encode() + (b"\n" if ended else b"")
    if not block:
        return
    fast, slow = both(block, headed)
    assert_frame_equal(fast.frame, slow.frame)
    assert fast.skipped == slow.skipped
    rows = fast.frame["_row"].to_list()
    assert fast.raw(rows) == slow.raw(rows)


@given(st.binary(max_size=40))
def test_broken_bytes_too(block):
    if block:
        fast, slow = both(block, headed=False, first_row=7)
        assert_frame_equal(fast.frame, slow.frame)


def test_ordinary_blocks_take_the_fast_way():
    made = read_cells(b"1,BTC,\n2,,x\n", COLUMNS)
    assert made is not None and made.rows() == [("1", "BTC", ""), ("2", "", "x")]
    assert read_cells(b"1,2,3", COLUMNS) is not None


@pytest.mark.parametrize(
    "block",
    [
        b"1,2,3\n\n4,5,6\n",
        b"\n1,2,3",
        b"1,2\n",
        b"1,2\n3,4,5,6\n",
        b"1,2,3\r\n",
        b"\xff,2,3\n",
        b"1,2,3\n,\n",
    ],
)
def test_odd_blocks_do_not(block):
    assert read_cells(block, COLUMNS) is None


def test_a_header_is_not_a_row(tmp_path: Path):
    file = tmp_path / "ticks.csv"
    header = ",".join(CSV.header)
    file.write_text(f"{header}\n" + ",".join("1" for _ in CSV.header) + "\n")
    (chunk,) = CSV.read(Source(file), Names(None, None))
    assert chunk.frame["_row"].to_list() == [1]
