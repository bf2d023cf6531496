"""How text and numbers of the venues become contract columns: polars expressions, null where a
value is broken.

Cells come without blanks and quotes around them: whoever reads text strips it.
"""

from zlib import crc32

import polars as pl

# A number below S is seconds, below MS milliseconds, below US microseconds, else nanoseconds:
# unambiguous from 1973 to 5138.
S_BELOW, MS_BELOW, US_BELOW = 10**11, 10**14, 10**17
STEM_CHARS = 32


def number(name: str) -> pl.Expr:
    """The field as a double; null if it is none."""
    return pl.col(name).cast(pl.Float64, strict=False)


def upper(name: str) -> pl.Expr:
    """The field in capitals, null if empty."""
    cell = pl.col(name).str.to_uppercase()
    return pl.when(cell != "").then(cell)


def scaled_us(integer: pl.Expr) -> pl.Expr:
    """Integer s, ms, µs or ns → µs, judged row by row by magnitude."""
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
    rest = pl.when(whole.is_null()).then(
        cell
    )  # dates are dear to parse, and hardly any file has them
    fraction = rest.cast(pl.Float64, strict=False)
    seconds = pl.when(fraction.abs() < S_BELOW).then((fraction * 1e6).round())
    iso = rest.str.to_datetime(time_unit="us", time_zone="UTC", strict=False, format="%+").dt.epoch(
        "us"
    )
    return pl.coalesce(scaled_us(whole), seconds.cast(pl.Int64, strict=False), iso)


def side(name: str, buyer: str, seller: str, unknown: str = "") -> pl.Expr:
    """Aggressor from the words of a venue, whatever their case: +1, −1, 0 for `unknown`, null for
    anything else.
    """
    cell = pl.col(name).str.to_lowercase()
    said = pl.when(cell == buyer).then(1).when(cell == seller).then(-1)
    return (said.when(cell == unknown).then(0) if unknown else said).otherwise(None)


def row_id(stem: str, row: pl.Expr) -> pl.Expr:
    """A trade id from file and row, for feeds whose own ids are missing or not unique: real trades
    never look alike.
    """
    short = (
        stem if len(stem) <= STEM_CHARS else f"{stem[: STEM_CHARS - 9]}-{crc32(stem.encode()):08x}"
    )
    return pl.concat_str(pl.lit(f"{short}:"), row.cast(pl.String))
