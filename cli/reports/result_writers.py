"""The answer to a question in SQL as CSV, JSON lines or Parquet, batch by batch."""

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def write(answer: "pa.RecordBatchReader", kind: str, out: IO[bytes]) -> int:
    """Write all of it; returns the rows. `kind`: csv, json (an object per line) or parquet."""
    return _parquet(answer, out) if kind == "parquet" else _text(answer, kind, out)


def _parquet(answer: "pa.RecordBatchReader", out: IO[bytes]) -> int:
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(out, answer.schema, compression="zstd") as writer:
        for batch in answer:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _text(answer: "pa.RecordBatchReader", kind: str, out: IO[bytes]) -> int:
    import polars as pl

    rows = 0
    if kind == "csv":
        out.write(
            _plain(pl.DataFrame(pl.from_arrow(answer.schema.empty_table())), kind)
            .write_csv()
            .encode()
        )
    for batch in answer:
        frame = _plain(pl.DataFrame(pl.from_arrow(batch)), kind)
        out.write(
            (
                frame.write_csv(include_header=False) if kind == "csv" else frame.write_ndjson()
            ).encode()
        )
        rows += frame.height
    return rows


def _plain(frame: "pl.DataFrame", kind: str) -> "pl.DataFrame":
    """Bytes as text with escapes; for CSV nested values as JSON, for JSON big whole numbers as
    numbers.
    """
    import orjson
    import polars as pl

    def text(raw: bytes) -> str:
        return raw.decode("utf-8", "backslashreplace")

    def packed(value: object) -> str:
        return orjson.dumps(
            value.to_list() if isinstance(value, pl.Series) else value, default=str
        ).decode()

    made = {
        name: pl.col(name).map_elements(text, pl.String)
        for name, dtype in frame.schema.items()
        if dtype == pl.Binary
    }
    if kind == "csv":
        made |= {
            name: pl.col(name).map_elements(packed, pl.String)
            for name, dtype in frame.schema.items()
            if dtype.is_nested()
        }
    else:  # DuckDB sums whole numbers as HUGEINT, which would come out as text
        made |= {
            name: pl.col(name).cast(pl.Int64) for name in frame.columns if _is_whole(frame[name])
        }
    return frame.with_columns(**made)


def _is_whole(values: "pl.Series") -> bool:
    import polars as pl

    if not isinstance(values.dtype, pl.Decimal) or values.dtype.scale != 0:
        return False
    return values.cast(pl.Int64, strict=False).null_count() == values.null_count()
