"""Evaluates the rendered batch SQL with DuckDB, using Java's integer arithmetic.

A cast truncates and saturates, a sum wraps at 64 bits. This needs no service and takes a second;
tests/integration/test_parity.py shows that Flink computes the same.
"""

import re

import duckdb
import polars as pl

from contracts.tick import Tick
from contracts.windows import LEVELS
from feature_store.sql import windows

MACROS = """
CREATE MACRO to_long(x) AS CASE WHEN x >= 9223372036854775807e0 THEN 9223372036854775807::HUGEINT
  WHEN x <= -9223372036854775808e0 THEN (-9223372036854775808)::HUGEINT ELSE trunc(x)::HUGEINT END;
CREATE MACRO wrapped(x) AS ((x + 9223372036854775808::HUGEINT) % 18446744073709551616::HUGEINT
  + 18446744073709551616::HUGEINT) % 18446744073709551616::HUGEINT - 9223372036854775808::HUGEINT;
CREATE MACRO long_sum(x) AS wrapped(sum(x::HUGEINT));
SET integer_division = true;
"""
ROLLING = re.compile(r"`\$SUM0`\((\w+)\) OVER w")
REPLACED = {
    "RAND()": "random()",
    "SUM(": "long_sum(",
    "ROW<r DOUBLE, r1 DOUBLE>": "STRUCT(r DOUBLE, r1 DOUBLE)",
    "ROW(": "row(",
}


def rows(ticks: list[Tick], *, duplicates: bool) -> dict[str, pl.DataFrame]:
    """The published rows per view, with `event_time_us` (row end) like `reference.features`."""
    views = [level.view for level in LEVELS]
    frames = evaluate(ticks, [f"rows_{view}" for view in views], duplicates=duplicates)
    end_us = pl.col("sec") * 1_000_000
    return {
        view: f.with_columns(event_time_us=end_us) for view, f in zip(views, frames, strict=True)
    }


def evaluate(ticks: list[Tick], names: list[str], *, duplicates: bool) -> list[pl.DataFrame]:
    """These views of the ladder over `ticks`."""
    windowed = pl.DataFrame(ticks, list(Tick._fields), orient="row", infer_schema_length=None)
    with duckdb.connect() as connection:
        connection.execute(MACROS)
        connection.register("windowed_ticks", windowed)
        for view in windows.ladder("batch", duplicates=duplicates):
            connection.execute(f"CREATE TEMP TABLE {view.name} AS {translated(view.select)}")
            if view.name == names[-1]:
                break
        return [connection.sql(f"FROM {name}").pl() for name in names]


def translated(select: str) -> str:
    """Flink SQL translated to DuckDB's dialect."""
    for old, new in REPLACED.items():
        select = select.replace(old, new)
    return _casts(ROLLING.sub(r"wrapped(sum(\1::HUGEINT) OVER w)", select))


def _casts(select: str) -> str:
    """Replace every `CAST(… AS BIGINT)` by `to_long(…)`."""
    text, opened = "", []
    for at, sign in enumerate(select):
        text += sign
        if sign == "(":
            opened.append(len(text))
        elif sign == ")":
            begin = opened.pop()
            if select[: at + 1].endswith(" AS BIGINT)") and text[:begin].endswith("CAST("):
                inner = text[begin : -len(" AS BIGINT)")]
                text = f"{text[: begin - len('CAST(')]}to_long({inner})"
    return text
