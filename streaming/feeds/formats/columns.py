"""Polars expressions that convert a venue's cells into contract columns; null if a value is broken.

Cells must already be stripped of surrounding blanks and quotes.
"""

from zlib import crc32

import polars as pl

# A time below S_BELOW is seconds, below MS_BELOW milliseconds, below US_BELOW microseconds, else
# nanoseconds: unambiguous from 1973 to 5138.
S_BELOW, MS_BELOW, US_BELOW = 10**11, 10**14, 10**17
STEM_CHARS = 32


def number(name: str) -> pl.Expr:
    """The field as a double; null if it is not a number."""
    return pl.col(name).cast(pl.Float64, strict=False)


def given_or(name: str | None, default: pl.Expr) -> pl.Expr:
    """The venue or symbol that the user gave, else the one in the rows."""
    return pl.lit(name) if name else default


def upper(name: str) -> pl.Expr:
    """The field in upper case; null if empty."""
    cell = pl.col(name).str.to_uppercase()
    return pl.when(cell != "").then(cell)


def scaled_us(integer: pl.Expr) -> pl.Expr:
    """Integer s, ms, µs or ns → µs; the unit of each row follows from its magnitude."""
    return (
        pl.when(integer < S_BELOW)
        .then(integer * 1_000_000)
        .when(integer < MS_BELOW)
        .then(integer * 1_000)
        .when(integer < US_BELOW)
        .then(integer)
        .otherwise(integer // 1_000)
    )


def epoch_us(name: str | pl.Expr) -> pl.Expr:
    """A time as text → µs: whole numbers of any unit, fractional seconds, or ISO 8601 in UTC."""
    cell = pl.col(name) if isinstance(name, str) else name
    whole = cell.cast(pl.Int64, strict=False)
    # Parsing dates is expensive and few files contain them, so only the remaining cells are tried.
    rest = pl.when(whole.is_null()).then(cell)
    fraction = rest.cast(pl.Float64, strict=False)
    seconds = pl.when(fraction.abs() < S_BELOW).then((fraction * 1e6).round())
    iso = rest.str.to_datetime(time_unit="us", time_zone="UTC", strict=False, format="%+").dt.epoch(
        "us"
    )
    return pl.coalesce(scaled_us(whole), seconds.cast(pl.Int64, strict=False), iso)


def side(name: str, buyer: str, seller: str, unknown: str = "") -> pl.Expr:
    """Aggressor from a venue's words, ignoring case: +1, −1, 0 for `unknown`, otherwise null."""
    cell = pl.col(name).str.to_lowercase()
    aggressor = pl.when(cell == buyer).then(1).when(cell == seller).then(-1)
    return (aggressor.when(cell == unknown).then(0) if unknown else aggressor).otherwise(None)


def row_id(stem: str, row: pl.Expr) -> pl.Expr:
    """A trade id from file name and row, for feeds whose ids are missing or not unique."""
    short = (
        stem if len(stem) <= STEM_CHARS else f"{stem[: STEM_CHARS - 9]}-{crc32(stem.encode()):08x}"
    )
    return pl.concat_str(pl.lit(f"{short}:"), row.cast(pl.String))
