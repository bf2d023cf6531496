"""Files with the contract's columns, CSV or Parquet: the format that `tick synth` writes."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from streaming.feeds.formats.columns import epoch_us, number, row_id, scaled_us
from streaming.feeds.formats.text import CsvFormat
from streaming.feeds.source import DAMAGED, Head, Source, first_and_last
from streaming.feeds.tick_frame import SCHEMA
from streaming.feeds.types import ROW, Chunk, Names

NEEDED = ("symbol", "event_time_us", "price", "size")
ROWS = 65_536
TIMES = ("event_time_us", "ingest_time_us")


def _from_text(name: str, dtype: pl.DataType) -> pl.Expr:
    if name in TIMES:
        return epoch_us(name)
    if dtype == pl.Float64():
        return number(name)
    return pl.col(name) if dtype == pl.String() else pl.col(name).cast(dtype, strict=False)


def _with_defaults(
    fields: dict[str, pl.Expr], source: Source, names: Names
) -> Mapping[str, pl.Expr]:
    """Fill missing columns: side unknown, trade id from the row, venue and symbol as given."""
    fields.setdefault("side", pl.lit(0))
    fields.setdefault("trade_id", row_id(source.stem, pl.col(ROW)))
    venue = names.venue or (None if "venue" in fields else "FILE")
    constants = {"venue": venue, "symbol": names.symbol}
    return fields | {name: pl.lit(value) for name, value in constants.items() if value}


def _csv_fields(source: Source, names: Names, columns: Sequence[str]) -> Mapping[str, pl.Expr]:
    return _with_defaults(
        {name: _from_text(name, dtype) for name, dtype in SCHEMA.items() if name in columns},
        source,
        names,
    )


CSV = CsvFormat(
    name="canonical-csv",
    shape=(
        "a header with symbol,event_time_us,price,size and any of"
        " venue,side,trade_id,seq,ingest_time_us,bid,ask,bid_size,ask_size"
    ),
    header=NEEDED,
    fields=_csv_fields,
)


@dataclass(frozen=True)
class ParquetFormat:
    """`needed`: columns that identify the format; `fields` as in CsvFormat, over typed columns."""

    name: str
    shape: str
    needed: frozenset[str]
    fields: Callable[[Source, Names, pl.DataFrame], Mapping[str, pl.Expr]]
    infer_sides: bool = False

    def recognises(self, head: Head) -> bool:
        """Whether all `needed` columns are present."""
        return self.needed <= head.columns

    def read(self, source: Source, names: Names) -> Iterator[Chunk]:
        """Batches of rows; a damaged file ends with a chunk whose `damage` is set."""
        import pyarrow.parquet as pq

        row = 0
        try:
            # Pages stream through a small buffer, so a row group need not fit into memory.
            for batch in pq.ParquetFile(
                source.path, pre_buffer=False, buffer_size=1 << 20
            ).iter_batches(ROWS):
                yield self._chunk(source, names, pl.DataFrame(pl.from_arrow(batch)), row)
                row += batch.num_rows
        except (*DAMAGED, ValueError) as error:
            yield Chunk.early_end(row, error)

    def ends(self, source: Source, names: Names) -> Iterator[Chunk]:
        """The first and the last batch of the first and of the last row group."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(source.path, pre_buffer=False, buffer_size=1 << 20)
        for group in first_and_last(range(file.num_row_groups)):
            for batch in first_and_last(file.iter_batches(ROWS, row_groups=[group])):
                yield self._chunk(source, names, pl.DataFrame(pl.from_arrow(batch)), 0)

    def _chunk(self, source: Source, names: Names, frame: pl.DataFrame, first_row: int) -> Chunk:
        fields = self.fields(source, names, frame)
        numbered = frame.with_columns(ROW_RANGE.cast(pl.Int64).alias(ROW) + first_row)

        def raw(rows: Sequence[int]) -> list[bytes]:
            return frame[[row - first_row for row in rows]].write_ndjson().encode().splitlines()

        return Chunk(numbered.select(ROW, **fields), raw, Counter())


ROW_RANGE = pl.int_range(pl.len())


def as_epoch_us(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A typed time column → µs: date-times (naive = UTC) or integers, both of any unit."""
    dtype = frame.schema[name]
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).dt.epoch("us")
    if dtype == pl.String:
        return epoch_us(pl.col(name).str.strip_chars())
    return scaled_us(pl.col(name).cast(pl.Int64, strict=False))


def _parquet_fields(source: Source, names: Names, frame: pl.DataFrame) -> Mapping[str, pl.Expr]:
    fields = {
        name: pl.col(name).cast(dtype, strict=False)
        for name, dtype in SCHEMA.items()
        if name in frame.columns
    }
    fields |= {name: as_epoch_us(frame, name) for name in TIMES if name in frame.columns}
    return _with_defaults(fields, source, names)


PARQUET = ParquetFormat(
    name="canonical-parquet",
    shape=CSV.shape.replace("a header with", "columns"),
    needed=frozenset(NEEDED),
    fields=_parquet_fields,
)


def write(path: Path, batches: Iterator[pl.DataFrame]) -> int:
    """Write contract batches to one canonical Parquet file; returns the number of ticks."""
    import pyarrow.parquet as pq

    schema = pl.DataFrame(schema=SCHEMA).to_arrow().schema
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(batch.to_arrow().cast(schema))
            rows += batch.height
    return rows
