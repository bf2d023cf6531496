"""A batch of ticks in memory: a polars DataFrame with the fields of `Tick`, in its order.

Rows are validated by the contract's RULES.
"""

import io
from functools import lru_cache

import polars as pl

from contracts.fields import Kind, names
from contracts.tick import (
    CHARS_MAX,
    FIELDS,
    KEY,
    QUOTES,
    REQUIRED,
    RULES,
    SCHEMA_VERSION,
    Reason,
)

_POLARS: dict[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.INT: pl.Int32(),
    Kind.LONG: pl.Int64(),
    Kind.REAL: pl.Float64(),
}
SCHEMA = {field.name: _POLARS[field.kind] for field in FIELDS}


def conform(frame: pl.DataFrame) -> pl.DataFrame:
    """Contract columns in contract order; missing columns and values of a wrong type are null."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None))
        .cast(dtype, strict=False)
        .alias(name)
        for name, dtype in SCHEMA.items()
    )


def empty() -> pl.DataFrame:
    """An empty batch."""
    return pl.DataFrame(schema=SCHEMA)


def _is_well_typed() -> pl.Expr:
    """Whether a row has all required fields, finite numbers, and texts of a valid length."""
    reals = pl.col(names(FIELDS, Kind.REAL))
    texts = [pl.col(name).str.len_chars().is_between(1, most) for name, most in CHARS_MAX.items()]
    texts.append(~pl.col(KEY).str.contains(":", literal=True))
    return pl.all_horizontal(
        pl.col(REQUIRED).is_not_null(), reals.is_null() | reals.is_finite(), *texts
    ).fill_null(False)


@lru_cache(maxsize=1)
def _reason() -> pl.Expr:
    """The first reason to reject a row, else null, in the order of `contracts.messages.parsing`."""
    broken = [
        (~_is_well_typed(), Reason.INVALID_FIELD),
        *((pl.sql_expr(rule).fill_null(False), reason) for reason, rule in RULES),
    ]
    return pl.coalesce(pl.when(rule).then(pl.lit(reason.value)) for rule, reason in broken)


def reject_reasons(frame: pl.DataFrame, received_us: int) -> pl.Series:
    """One reason code per row of a conformed batch, null = accepted.

    Times too far after `received_us` are out of bounds.
    """
    extra = {"schema_version": pl.lit(SCHEMA_VERSION), "received_us": pl.lit(received_us)}
    return frame.with_columns(**extra).select(reason=_reason())["reason"]


def encode(frame: pl.DataFrame) -> list[bytes]:
    """Kafka messages of a conformed batch, one per row.

    Null quotes are omitted, as in `contracts.messages.encoding.encode`.
    """
    if all(frame[name].null_count() in (0, frame.height) for name in QUOTES):
        return _lines(frame)
    patterns = frame.with_row_index("_row").with_columns(
        _absent=pl.concat_str(pl.col(QUOTES).is_null().cast(pl.Int8))
    )
    messages: list[bytes] = [b""] * frame.height
    for part in patterns.partition_by("_absent", maintain_order=True):
        lines = _lines(part.select(tuple(SCHEMA)))
        for row, line in zip(part["_row"], lines, strict=True):
            messages[row] = line
    return messages


def _lines(frame: pl.DataFrame) -> list[bytes]:
    """Messages of a frame in which each quote is null in all rows or in none."""
    absent = [name for name in QUOTES if frame[name].null_count()]
    versioned = frame.drop(absent).select(pl.lit(SCHEMA_VERSION).alias("schema_version"), pl.all())
    buffer = io.BytesIO()
    versioned.write_ndjson(buffer)
    return buffer.getvalue().splitlines()
