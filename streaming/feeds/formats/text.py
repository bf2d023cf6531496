"""CSV formats, each defined by its column names and one expression per contract field."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from streaming.feeds.source import DAMAGED, Head, Source
from streaming.feeds.types import ROW, Chunk, Names

LINE = "_line"
# A block that contains one of these is parsed line by line.
SLOW_PATH_BYTES = (b"\r", b"\t", b"\0", b"\xef\xbb\xbf")


def raw_lines(block: bytes, first_row: int) -> Callable[[Sequence[int]], list[bytes]]:
    """A function from row numbers to the original bytes of these rows, even if broken UTF-8."""

    def raw(rows: Sequence[int]) -> list[bytes]:
        lines = block.split(b"\n")
        return [lines[row - first_row].rstrip(b"\r") for row in rows]

    return raw


@dataclass(frozen=True)
class CsvFormat:
    """`header`: columns that the first line must name, in any order; () = files without a header.

    `layouts`: columns of files without a header, identified by the kind of each column: 'n' number,
    'b' boolean. `fields(source, names, columns)` maps contract fields to expressions over
    the columns and the row number `_row`.
    """

    name: str
    shape: str
    header: tuple[str, ...]
    fields: Callable[[Source, Names, Sequence[str]], Mapping[str, pl.Expr]]
    layouts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    infer_sides: bool = False
    checked_lines: ClassVar[int] = 20

    def recognises(self, head: Head) -> bool:
        """Whether the header matches, or the kinds of cells in most of the first rows."""
        return self._has_header(head) or self._layout(head) is not None

    def read(self, source: Source, names: Names) -> Iterator[Chunk]:
        """All rows; a damaged archive ends with a chunk whose `damage` is set."""
        return self._chunks(source, names, source.blocks())

    def ends(self, source: Source, names: Names) -> Iterator[Chunk]:
        """The first and the last block."""
        return self._chunks(source, names, source.end_blocks())

    def _has_header(self, head: Head) -> bool:
        return bool(self.header) and set(self.header) <= set(head.header)

    def _layout(self, head: Head) -> tuple[str, ...] | None:
        rows = [line.split(",") for line in head.lines[: self.checked_lines] if line.strip()]
        return next((columns for kinds, columns in self.layouts if _most_fit(rows, kinds)), None)

    def _columns(self, head: Head) -> Sequence[str]:
        """The columns of the file; if the user named a format that does not fit, its usual ones."""
        if self._has_header(head):
            return head.header
        return self._layout(head) or (self.layouts[0][1] if self.layouts else self.header)

    def _chunks(self, source: Source, names: Names, blocks: Iterator[bytes]) -> Iterator[Chunk]:
        head = source.head()
        headed, columns = self._has_header(head), self._columns(head)
        fields, row = self.fields(source, names, columns), 0
        try:
            for block in blocks:
                yield self._chunk(block, row, columns, fields, headed)
                row += count_lines(block)
        except DAMAGED as error:
            yield Chunk.early_end(row, error)

    def _chunk(
        self,
        block: bytes,
        first_row: int,
        columns: Sequence[str],
        fields: Mapping[str, pl.Expr],
        headed: bool,
    ) -> Chunk:
        cells = read_cells(block, columns)
        if cells is None:
            return self._by_line(block, first_row, columns, fields, headed)
        numbered = cells.with_row_index(ROW, first_row).with_columns(pl.col(ROW).cast(pl.Int64))
        rows = numbered.slice(1) if headed and not first_row else numbered
        return Chunk(rows.select(ROW, **fields), raw_lines(block, first_row), Counter())

    def _by_line(
        self,
        block: bytes,
        first_row: int,
        columns: Sequence[str],
        fields: Mapping[str, pl.Expr],
        headed: bool,
    ) -> Chunk:
        """Parse any block, line by line.

        A line with another number of cells gets nulls, broken UTF-8 is replaced, blank lines are
        counted as skipped.
        """
        encoding = "utf-8" if first_row else "utf-8-sig"  # without a byte order mark
        lines = block.removesuffix(b"\n").decode(encoding, "replace").split("\n")
        frame = pl.DataFrame({LINE: pl.Series(lines, dtype=pl.String)}).with_row_index(
            ROW, first_row
        )
        blank = pl.col(LINE).str.strip_chars().str.len_bytes() == 0
        rows = frame.filter(~blank & ((pl.col(ROW) > 0) | (not headed)))
        skipped = Counter({"blank": int(frame.select(blank.sum()).item())})
        has_width = pl.col(LINE).str.count_matches(",", literal=True) == len(columns) - 1
        cells = (
            pl.when(has_width)
            .then(pl.col(LINE))
            .str.split_exact(",", len(columns) - 1)
            .struct.rename_fields(list(columns))
            .alias("cells")
        )
        parsed = strip(rows.select(pl.col(ROW).cast(pl.Int64), cells).unnest("cells")).select(
            ROW, **fields
        )
        return Chunk(parsed, raw_lines(block, first_row), +skipped)


def strip(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells without surrounding blanks and quotes."""
    return cells.with_columns(pl.col(pl.String).str.strip_chars(' \t\r"'))


def read_cells(block: bytes, columns: Sequence[str]) -> pl.DataFrame | None:
    """Fast path: the stripped cells of a block as text, from polars' CSV reader.

    None if a line could be blank, have another number of cells, or contain unusual bytes. The
    check: the block has exactly the separators that lines of this width need, and the CSV reader
    rejects lines with more, so no line can have fewer.
    """
    lines = count_lines(block)
    if not _is_regular(block, separators=lines * (len(columns) - 1)):
        return None
    schema = dict.fromkeys(columns, pl.String)
    try:
        cells = pl.read_csv(
            block, has_header=False, schema=schema, quote_char=None, empty_string_is_null=False
        )
    except pl.exceptions.PolarsError:
        return None
    if cells.height != lines:
        return None
    return strip(cells) if b" " in block or b'"' in block else cells


def _is_regular(block: bytes, separators: int) -> bool:
    """Whether a block has this number of separators and no unusual bytes."""
    return _count(block, b",") == separators and not any(
        sequence in block for sequence in SLOW_PATH_BYTES
    )


def count_lines(block: bytes) -> int:
    """The number of lines in a block, including an unterminated last one."""
    return _count(block, b"\n") + (not block.endswith(b"\n"))


def _count(block: bytes, sign: bytes) -> int:
    # bytes.count restarts its search at every match, which is several times slower for separators
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == sign[0]))


def _most_fit(rows: Sequence[Sequence[str]], kinds: str) -> bool:
    return sum(_fits(row, kinds) for row in rows) * 2 > len(rows)


def _fits(row: Sequence[str], kinds: str) -> bool:
    return len(row) == len(kinds) and all(map(_is_of_kind, row, kinds))


def _is_of_kind(text: str, kind: str) -> bool:
    cell = text.strip()
    if kind == "b":
        return cell.lower() in ("true", "false")
    return cell.replace(".", "", 1).replace("-", "", 1).isdigit() or "e-" in cell.lower()
