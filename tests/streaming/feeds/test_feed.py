"""Opening files: which format they have, what an error says, and what a feed knows of itself."""

import gzip
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from contracts.errors import FeedError
from contracts.tick import Tick
from streaming.feeds import BY_NAME, open_feed
from streaming.feeds.types import Span

AT_US = 1_723_161_255_342_000
NOW_US = 4_000_000_000_000_000
HEADER = "symbol,event_time_us,price,size,side,trade_id\n"


def row(number: int, at_us: int = AT_US) -> str:
    return f"S,{at_us + number},100.5,2,1,{number}\n"


def write(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def read(file: Path, **options):
    batches = list(open_feed([file], **options).batches(NOW_US))
    ticks = [Tick(*values) for batch in batches for values in batch.ticks.rows()]
    return ticks, [reject for batch in batches for reject in batch.rejected], batches


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_make_no_difference(tmp_path, end, mark):
    text = (mark + HEADER + row(1) + row(2)).replace("\n", end)
    ticks, rejected, _ = read(write(tmp_path / "a.csv", text), format="canonical-csv")
    assert [tick.trade_id for tick in ticks] == ["1", "2"] and not rejected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_first_row_of_a_file_without_a_header_is_read_after_a_byte_order_mark(tmp_path, end):
    rows = "".join(f"{number},100.5,1,100.5,1723161255342,true\n" for number in (1, 2))
    file = write(tmp_path / "BTCUSDT-trades-2024-08-08.csv", ("\ufeff" + rows).replace("\n", end))
    ticks, rejected, _ = read(file)
    assert [tick.trade_id for tick in ticks] == ["1", "2"] and not rejected


def zipped(file: Path, **members: str | bytes) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def test_a_member_of_a_zip_without_trades_is_left_out_and_named(tmp_path):
    file = zipped(tmp_path / "day.zip", a="hello\n", b=HEADER + row(1), c=b"\x00\x01")
    feed = open_feed([file])
    assert feed.left_out == ("a in day.zip", "c in day.zip")
    assert [tick for batch in feed.batches(NOW_US) for tick in batch.ticks["trade_id"]] == ["1"]


def test_a_zip_without_trades_is_refused_even_next_to_another_file(tmp_path):
    trades = write(tmp_path / "a.csv", HEADER + row(1))
    with pytest.raises(FeedError, match="cannot tell the format of note"):
        open_feed([trades, zipped(tmp_path / "day.zip", note="hello\n")])


def test_a_member_that_cannot_be_read_is_not_left_out(tmp_path):
    file = zipped(tmp_path / "day.zip", a=HEADER + row(1), b=HEADER + row(2))
    content = file.read_bytes()
    file.write_bytes(content.replace(row(2).encode(), row(3).encode()))
    with pytest.raises(FeedError, match="cannot be read"):
        open_feed([file])


def test_a_file_that_was_edited_without_a_change_of_size_is_another_feed(tmp_path):
    file = write(tmp_path / "a.csv", HEADER + row(1))
    before = open_feed([file]).fingerprint
    write(file, HEADER + row(2))
    changed_ns = file.stat().st_mtime_ns + 1_000_000_000  # file systems may count in seconds
    os.utime(file, ns=(changed_ns, changed_ns))
    assert open_feed([file]).fingerprint != before


@pytest.mark.parametrize(
    ("cells", "detail"),
    [
        ("S,T,1e400,2,1,x", "not finite"),
        ("S,T,nan,2,1,x", "not finite"),
        (f"S,{'9' * 40},1,2,1,x", "unreadable: event_time_us"),
        ("S,T,1,2,99999999999,x", "unreadable: side"),
        ("S,T,1,,1,x", "unreadable: size"),
        (f"{'S' * 33},T,1,2,1,x", "too long"),
        ("A:B,T,1,2,1,x", "too long"),
        ("S,T,1,2,1", "unreadable"),
        ("S,T,1,2,1,x,y", "unreadable"),
        ("S,T,0x10,2,1,x", "unreadable: price"),
    ],
)
def test_a_hostile_row_is_rejected_alone_with_its_text(tmp_path, cells, detail):
    line = cells.replace("T", str(AT_US))
    ticks, (reject,), _ = read(write(tmp_path / "a.csv", HEADER + row(1) + line + "\n" + row(2)))
    assert [tick.trade_id for tick in ticks] == ["1", "2"]
    assert (reject.row, reject.rejected.raw) == (2, line.encode())
    assert detail in reject.rejected.detail


def test_blank_lines_are_counted_and_are_neither_ticks_nor_rejects(tmp_path):
    ticks, rejected, batches = read(write(tmp_path / "a.csv", HEADER + row(1) + "\n \n" + row(2)))
    assert (len(ticks), rejected) == (2, [])
    assert sum(batch.skipped["blank"] for batch in batches) == 2


def test_quoted_cells_are_read_without_their_quotes(tmp_path):
    text = HEADER + row(1).replace("S,", '"S" ,')
    assert read(write(tmp_path / "a.csv", text))[0][0].symbol == "S"


def test_a_header_without_rows_is_a_feed_without_ticks(tmp_path):
    file = write(tmp_path / "a.csv", HEADER)
    assert read(file)[:2] == ([], [])
    with pytest.raises(FeedError, match=r"no tick in a\.csv"):
        open_feed([file]).span(NOW_US)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"hello\n", "it begins with 'hello'"),
        (HEADER.replace("price", "prize").encode(), "it begins with 'symbol,event_time_us,prize"),
        (b"\x00\x01\x02", r"'\x00\x01\x02'"),
    ],
)
def test_an_unknown_file_is_shown_and_the_formats_are_listed(tmp_path, content, shown):
    with pytest.raises(FeedError) as caught:
        open_feed([write(tmp_path / "a.csv", content)])
    assert shown in caught.value.message and "--format" in caught.value.hint
    assert all(name in caught.value.hint for name in BY_NAME)


def test_an_unknown_format_lists_the_known_ones_before_a_file_is_opened(tmp_path):
    with pytest.raises(FeedError, match="unknown format 'csv'") as caught:
        open_feed([tmp_path / "missing.csv"], format="csv")
    assert "canonical-csv" in caught.value.hint


def test_a_truncated_parquet_file_is_reported(tmp_path):
    file = tmp_path / "a.parquet"
    pl.DataFrame(
        {"symbol": ["S"], "event_time_us": [1], "price": [1.0], "size": [1.0]}
    ).write_parquet(file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(FeedError, match="cannot be read"):
        open_feed([file])


def test_the_span_covers_all_files_and_files_without_ticks_add_nothing(tmp_path):
    files = [
        write(tmp_path / "a.csv", HEADER + row(50) + row(60)),
        write(tmp_path / "b.csv", HEADER),
        write(tmp_path / "c.csv.gz", gzip.compress((HEADER + row(5) + row(7)).encode())),
    ]
    assert open_feed(files).span(NOW_US) == Span(AT_US + 5, AT_US + 60)


def test_ticks_in_the_future_are_not_part_of_the_span(tmp_path):
    file = write(tmp_path / "a.csv", HEADER + row(1) + row(2, AT_US + 10_000_000))
    assert open_feed([file]).span(AT_US) == Span(AT_US + 1, AT_US + 1)


def test_a_span_covers_its_parts():
    assert Span.cover([]) is None
    assert Span.cover(iter([Span(3, 4), Span(1, 2)])) == Span(1, 4)


def test_the_fingerprint_changes_with_files_sizes_and_names(tmp_path):
    file = write(tmp_path / "a.csv", HEADER + row(1))
    first = open_feed([file]).fingerprint
    assert open_feed([file]).fingerprint == first
    assert open_feed([file], venue="V").fingerprint != first
    assert open_feed([file, file]).fingerprint != first
    write(file, HEADER + row(1) + row(2))
    assert open_feed([file]).fingerprint != first


def test_a_symbol_of_the_user_replaces_the_file_name(tmp_path):
    text = f"1,100,1,100,{AT_US // 1000},true,true\n"
    file = write(tmp_path / "dump.csv", text)
    with pytest.raises(FeedError, match="does not contain a symbol") as caught:
        open_feed([file], format="binance-trades")
    assert "--symbol" in caught.value.hint
    assert read(file, format="binance-trades", symbol="BTCUSDT")[0][0].symbol == "BTCUSDT"


def test_only_large_compressed_files_have_an_expensive_span(tmp_path, monkeypatch):
    from streaming.feeds import feed

    plain = write(tmp_path / "a.csv", HEADER + row(1))
    packed = write(tmp_path / "b.csv.gz", gzip.compress((HEADER + row(1)).encode()))
    assert open_feed([plain, packed]).span_is_cheap
    monkeypatch.setattr(feed, "CHEAP_BYTES", 10)
    assert open_feed([plain]).span_is_cheap and not open_feed([packed]).span_is_cheap
