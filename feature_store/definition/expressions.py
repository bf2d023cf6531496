"""The text of a feature definition: its names, its checks for Flink and DuckDB, its values."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from string import Formatter

import duckdb
import polars as pl

from contracts.errors import TickError


class DefinitionError(TickError):
    """A feature or aggregate line is invalid or cannot be computed."""


# Functions with the same result in Flink and DuckDB. LOG differs: natural in Flink, decimal in
# DuckDB.
FUNCTIONS = frozenset(
    {
        "ABS",
        "ACOS",
        "ASIN",
        "ATAN",
        "CAST",
        "CEIL",
        "COALESCE",
        "COS",
        "EXP",
        "FLOOR",
        "LN",
        "LOG10",
        "NULLIF",
        "POWER",
        "SIGN",
        "SIN",
        "SQRT",
        "TAN",
    }
)
WORDS = frozenset(
    {
        "AND",
        "AS",
        "BETWEEN",
        "CASE",
        "DOUBLE",
        "ELSE",
        "END",
        "IN",
        "IS",
        "NOT",
        "NULL",
        "OR",
        "THEN",
        "WHEN",
    }
)
NUMBER = re.compile(r"\b\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
WORD = re.compile(r"[A-Za-z_]\w*")
WHOLE_DIVISION = re.compile(r"(?<![\w.])\d+\s*\)*\s*/\s*\(*\s*\d+(?![\w.])")


def names_in(*texts: str) -> frozenset[str]:
    """The names in braces. Raises DefinitionError for unbalanced braces."""
    try:
        return frozenset(
            name for text in texts for _, name, _, _ in Formatter().parse(text) if name is not None
        )
    except ValueError as error:
        raise DefinitionError(
            f"unbalanced braces in {texts[0]!r}: {error}", "write an aggregate as {name}"
        ) from error


def check(what: str, text: str, columns: Sequence[str] = ()) -> None:
    """Reject words and characters that Flink and DuckDB read differently.

    `columns` may occur in `text` without braces. Raises DefinitionError, beginning with `what`.
    """
    bare = re.sub(r"\{\w*\}", " 1e0 ", text)
    if strange := set(re.findall(r"[^\w\s.,+*/()<>=-]", bare)):
        hint = "write POWER(x, 2) for powers, <> for unequal and aggregates in {braces}"
        raise DefinitionError(
            f"{what}: {' '.join(sorted(strange))} is not allowed in a formula: {text!r}", hint
        )
    for word in WORD.findall(NUMBER.sub(" ", bare)):
        _check_word(what, word, columns)
    if division := WHOLE_DIVISION.search(bare):
        hint = f"write {division[0].partition('/')[0].strip()}e0 / …"
        raise DefinitionError(
            f"{what}: {division[0]!r} divides integers, and Flink truncates the result", hint
        )


def _check_word(what: str, word: str, columns: Sequence[str]) -> None:
    if word in columns or word.upper() in FUNCTIONS | WORDS:
        return
    names = f"columns: {', '.join(columns)}" if columns else "write aggregates in {braces}"
    hint = f"{names}; functions: {', '.join(sorted(FUNCTIONS))}"
    raise DefinitionError(f"{what}: {word!r} is a reserved SQL word, or unknown here", hint)


@lru_cache(maxsize=1)
def _duckdb() -> duckdb.DuckDBPyConnection:
    """A shared in-memory DuckDB without file access: opening one is slower than evaluating."""
    return duckdb.connect(config={"enable_external_access": False, "threads": 1})


def evaluate(table: pl.DataFrame, expressions: Mapping[str, str]) -> pl.DataFrame:
    """One double column per expression over the columns of `table`, row by row.

    Raises DefinitionError with the name of the expression that cannot be parsed or computed.
    """
    if not expressions:
        return pl.DataFrame()
    columns = [f'CAST(({text}) AS DOUBLE) AS "{name}"' for name, text in expressions.items()]
    with _duckdb().cursor() as connection:
        connection.register("rows_", table)
        try:
            frame: pl.DataFrame = connection.sql(f"SELECT {', '.join(columns)} FROM rows_").pl()
        except duckdb.Error as error:
            raise _first_failure(connection, expressions, error) from error
    return frame


def _first_failure(
    connection: duckdb.DuckDBPyConnection, expressions: Mapping[str, str], error: duckdb.Error
) -> DefinitionError:
    """An error that names the first expression that fails when evaluated alone."""
    for name, text in expressions.items():
        try:
            connection.execute(f"SELECT ({text}) FROM rows_").fetchall()
        except duckdb.Error as failure:
            return DefinitionError(
                f"{name} cannot be computed: {str(failure).partition(chr(10))[0]}",
                f"correct the expression: {text}",
            )
    return DefinitionError(str(error))
