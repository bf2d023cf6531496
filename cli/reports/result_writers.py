"""Write the result of a SQL query as CSV, JSON lines or Parquet, batch by batch."""

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def write_result(result: "pa.RecordBatchReader", kind: str, out: IO[bytes]) -> int:
    """Write all batches; returns the number of rows. `kind`: csv, json (an object per line) or
    parquet.
    """
    return _write_parquet(result, out) if kind == "parquet" else _write_text(result, kind, out)


def _write_parquet(result: "pa.RecordBatchReader", out: IO[bytes]) -> int:
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(out, result.schema, compression="zstd") as writer:
        for batch in result:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _write_text(result: "pa.RecordBatchReader", kind: str, out: IO[bytes]) -> int:
    import polars as pl

    rows = 0
    if kind == "csv":
        empty = pl.DataFrame(pl.from_arrow(result.schema.empty_table()))
        out.write(_as_plain_types(empty, kind).write_csv().encode())
    for batch in result:
        frame = _as_plain_types(pl.DataFrame(pl.from_arrow(batch)), kind)
        text = frame.write_csv(include_header=False) if kind == "csv" else frame.write_ndjson()
        out.write(text.encode())
        rows += frame.height
    return rows


def _as_plain_types(frame: "pl.DataFrame", kind: str) -> "pl.DataFrame":
    """Convert the types that the text formats lack: bytes to escaped text; for CSV, nested values
    to JSON; for JSON, large integers to Int64.
    """
    import polars as pl

    converted = {
        name: pl.col(name).map_elements(_escape_bytes, pl.String)
        for name, dtype in frame.schema.items()
        if dtype == pl.Binary
    }
    if kind == "csv":
        converted |= {
            name: pl.col(name).map_elements(_to_json, pl.String)
            for name, dtype in frame.schema.items()
            if dtype.is_nested()
        }
    else:  # DuckDB sums integers as HUGEINT, which would be written as text
        converted |= {
            name: pl.col(name).cast(pl.Int64) for name in frame.columns if _fits_int64(frame[name])
        }
    return frame.with_columns(**converted)


def _escape_bytes(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _to_json(value: object) -> str:
    import orjson
    import polars as pl

    plain = value.to_list() if isinstance(value, pl.Series) else value
    return orjson.dumps(plain, default=str).decode()


def _fits_int64(values: "pl.Series") -> bool:
    import polars as pl

    if not isinstance(values.dtype, pl.Decimal) or values.dtype.scale != 0:
        return False
    return values.cast(pl.Int64, strict=False).null_count() == values.null_count()
