"""A batch of ticks in memory: a polars DataFrame with the fields of `Tick`, in its order, judged by
the contract's RULES.
"""

import io
from functools import lru_cache

import polars as pl

from contracts.tick import NAME_CHARS_MAX, RULES, SCHEMA_VERSION, TRADE_ID_CHARS_MAX, Reason

SCHEMA: dict[str, pl.DataType] = {
    "venue": pl.String(),
    "symbol": pl.String(),
    "event_time_us": pl.Int64(),
    "ingest_time_us": pl.Int64(),
    "price": pl.Float64(),
    "size": pl.Float64(),
    "side": pl.Int32(),
    "trade_id": pl.String(),
    "seq": pl.Int64(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "bid_size": pl.Float64(),
    "ask_size": pl.Float64(),
}
QUOTES = tuple(SCHEMA)[9:]
REQUIRED = tuple(SCHEMA)[:9]
NAMES = {"venue": NAME_CHARS_MAX, "symbol": NAME_CHARS_MAX, "trade_id": TRADE_ID_CHARS_MAX}


def conform(frame: pl.DataFrame) -> pl.DataFrame:
    """Contract columns in contract order: absent ones are null, values that do not fit their type
    become null.
    """
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None))
        .cast(dtype, strict=False)
        .alias(name)
        for name, dtype in SCHEMA.items()
    )


def empty() -> pl.DataFrame:
    """A batch without ticks."""
    return pl.DataFrame(schema=SCHEMA)


@lru_cache(maxsize=1)
def _verdict() -> pl.Expr:
    """The first reason that applies to a row, else null; the same order as
    `contracts.parsing.parse`.
    """
    finite = [
        pl.col(name).is_null() | pl.col(name).is_finite()
        for name, dtype in SCHEMA.items()
        if dtype == pl.Float64()
    ]
    named = [pl.col(name).str.len_chars().is_between(1, limit) for name, limit in NAMES.items()]
    named += [
        ~pl.col(name).str.contains(":", literal=True) for name in ("venue", "symbol")
    ]  # VENUE:SYMBOL must stay readable
    well_typed = pl.all_horizontal(
        *(pl.col(name).is_not_null() for name in REQUIRED), *finite, *named
    ).fill_null(False)
    broken = [
        (~well_typed, Reason.INVALID_FIELD),
        *((pl.sql_expr(rule).fill_null(False), reason) for reason, rule in RULES),
    ]
    return pl.coalesce(pl.when(rule).then(pl.lit(reason.value)) for rule, reason in broken)


def verdicts(frame: pl.DataFrame, received_us: int) -> pl.Series:
    """Reason codes (null = accepted), one per row of a conformed batch; `received_us` bounds times
    from the future.
    """
    extra = {"schema_version": pl.lit(SCHEMA_VERSION), "received_us": pl.lit(received_us)}
    return frame.with_columns(**extra).select(reason=_verdict())["reason"]


def encode(frame: pl.DataFrame) -> list[bytes]:
    """Wire messages of a conformed batch, row for row; absent quotes are left out, as
    `contracts.wire.encode` does.
    """
    nulls = [frame[name].null_count() for name in QUOTES]
    if all(count in (0, frame.height) for count in nulls):
        return _lines(frame, [name for name, count in zip(QUOTES, nulls, strict=True) if count])
    patterns = frame.with_row_index("_row").with_columns(
        _absent=pl.concat_str(pl.col(QUOTES).is_null().cast(pl.Int8))
    )
    made: list[bytes] = [b""] * frame.height
    for part in patterns.partition_by("_absent", maintain_order=True):
        lines = _lines(
            part.select(tuple(SCHEMA)), [name for name in QUOTES if part[name][0] is None]
        )
        for row, line in zip(part["_row"], lines, strict=True):
            made[row] = line
    return made


def _lines(frame: pl.DataFrame, without: list[str]) -> list[bytes]:
    versioned = frame.drop(without).select(pl.lit(SCHEMA_VERSION).alias("schema_version"), pl.all())
    buffer = io.BytesIO()
    versioned.write_ndjson(buffer)
    return buffer.getvalue().splitlines()
