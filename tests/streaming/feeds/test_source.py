"""Files as blocks of whole lines: containers, damage, long lines, globs."""

import gzip
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import FeedError
from streaming.feeds import source as sources
from streaming.feeds.source import DAMAGED, Head, Source, expand, first_and_last

TEXT = b"".join(b"%d,row\n" % number for number in range(2_000))


def write(file: Path, content: bytes) -> Source:
    file.write_bytes(content)
    return Source(file)


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.output_stream(sink, compression="zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 64)
    monkeypatch.setattr(sources, "LINE_BYTES_MAX", 200)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_blocks_are_whole_lines_and_nothing_is_lost(tmp_path, small_blocks, pack):
    blocks = list(write(tmp_path / "a.csv", pack(TEXT)).blocks())
    assert len(blocks) > 100 and b"".join(blocks) == TEXT
    assert all(block.endswith(b"\n") for block in blocks)


@given(st.binary(max_size=400))
def test_any_bytes_come_back_unchanged(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("any") / "a.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK_BYTES", 16)
        patch.setattr(sources, "LINE_BYTES_MAX", 40)
        file.write_bytes(b"x" + content)
        blocks = list(Source(file).blocks())
    assert b"".join(blocks) == b"x" + content
    assert all(len(block) <= 40 + 16 for block in blocks)


def test_a_last_line_without_an_end_is_a_block(tmp_path, small_blocks):
    *_, last = write(tmp_path / "a.csv", b"1,2\n" * 40 + b"3,4").blocks()
    assert last.endswith(b"3,4")


def test_a_line_without_end_is_not_collected_beyond_the_limit(tmp_path, small_blocks):
    blocks = list(write(tmp_path / "a.csv", b"x" * 10_000).blocks())
    assert max(map(len, blocks)) <= 200 + 64


def test_a_gzip_bomb_passes_in_blocks(tmp_path):
    bomb = write(tmp_path / "a.csv.gz", gzip.compress(b"\0" * (40 << 20)))
    assert bomb.path.stat().st_size < 100_000
    sizes = [len(block) for block in bomb.blocks()]
    assert sum(sizes) == 40 << 20 and max(sizes) <= sources.LINE_BYTES_MAX + sources.BLOCK_BYTES


def test_a_truncated_gzip_gives_its_readable_part_then_the_damage(tmp_path, small_blocks):
    broken = write(tmp_path / "a.csv.gz", gzip.compress(TEXT)[:-200])
    blocks = []
    with pytest.raises(DAMAGED):
        blocks.extend(broken.blocks())
    first, last = broken.end_blocks()
    assert TEXT.startswith(first) and b"row" in last


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8b", b"\x1f\x8bgarbage", b"PK\x03\x04", b"PAR1", b"PAR1xxxxPAR1", b"\x28\xb5\x2f\xfd"],
)
def test_a_damaged_file_is_reported_with_its_name_and_what_to_do(tmp_path, content):
    file = tmp_path / "damaged.bin"
    file.write_bytes(content)
    with pytest.raises(FeedError, match=r"damaged\.bin") as caught:
        for source in expand([file]):
            source.head()
    assert "download it again" in caught.value.hint


def test_the_ends_of_a_large_plain_file_are_read_without_the_middle(tmp_path, small_blocks):
    source = write(tmp_path / "a.csv", TEXT)
    first, last = source.end_blocks()
    assert TEXT.startswith(first) and TEXT.endswith(last)
    assert first.endswith(b"\n") and last.split(b"\n")[0] in TEXT.split(b"\n")
    assert len(first) + len(last) < 200


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_of_one_block_has_one_end(tmp_path, pack):
    assert list(write(tmp_path / "a.csv", pack(b"1,2\n")).end_blocks()) == [b"1,2\n"]


def test_an_empty_file_has_no_blocks_and_no_ends(tmp_path):
    source = write(tmp_path / "a.csv", b"")
    assert list(source.blocks()) == list(source.end_blocks()) == []
    assert source.head().lines == ("",)


@given(st.lists(st.integers()))
def test_first_and_last(items):
    ends = list(first_and_last(items))
    assert ends == (items if len(items) < 2 else [items[0], items[-1]])


def test_a_zip_is_one_source_per_file_in_order_of_name(tmp_path):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("b/two.csv", "2,2\n")
        archive.writestr("b/", "")
        archive.writestr("a/one.csv", "1,1\n")
    found = expand([file])
    assert [(source.name, source.stem) for source in found] == [
        ("one.csv", "one"),
        ("two.csv", "two"),
    ]
    assert [b"".join(source.blocks()) for source in found] == [b"1,1\n", b"2,2\n"]
    assert not found[0].is_plain


def test_a_zip_member_that_was_changed_is_damage(tmp_path):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one.csv", TEXT)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"1999,row", b"1999,ROW"))
    (source,) = expand([file])
    with pytest.raises(DAMAGED):
        list(source.blocks())


def test_globs_find_files_in_order_and_never_folders(tmp_path):
    for name in ("b.csv", "a.csv", "sub/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1\n")
    (tmp_path / "folder.csv").mkdir()
    assert [s.name for s in expand([f"{tmp_path}/*.csv"])] == ["a.csv", "b.csv"]
    assert [s.name for s in expand([f"{tmp_path}/**/*.csv"])] == ["a.csv", "b.csv", "c.csv"]
    assert [s.name for s in expand([tmp_path / "b.csv", tmp_path / "a.csv"])] == ["b.csv", "a.csv"]


def test_a_name_with_glob_characters_is_a_file_first(tmp_path):
    (tmp_path / "[a].csv").write_bytes(b"1\n")
    assert [source.name for source in expand([tmp_path / "[a].csv"])] == ["[a].csv"]


@pytest.mark.parametrize("pattern", ["missing.csv", "*.parquet", "folder"])
def test_a_pattern_without_a_file_is_an_error_with_an_example(tmp_path, pattern):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FeedError, match="no file matches") as caught:
        expand([tmp_path / pattern])
    assert "glob" in caught.value.hint


def test_the_header_is_compared_without_case_quotes_and_blanks():
    assert Head(lines=('Symbol, "Price" ,SIZE',)).header == ("symbol", "price", "size")


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        (Head(lines=("x" * 500,)), repr("x" * 120)),
        (Head(lines=("\x1b[2J\u202e",)), r"'\x1b[2J\u202e'"),
        (Head(columns=frozenset({"b", "a"})), "Parquet with columns a, b"),
        (Head(), "''"),
    ],
)
def test_a_message_shows_a_short_harmless_beginning(head, shown):
    assert head.shown == shown
