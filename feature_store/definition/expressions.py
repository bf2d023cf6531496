"""The text of a feature definition: which names it uses, whether Flink and DuckDB read it alike,
and its values over a table.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from string import Formatter

import duckdb
import polars as pl

from contracts.errors import TickError


class DefinitionError(TickError):
    """A feature or aggregate line says something that cannot be computed."""


# What Flink and DuckDB both know, with the same result. LOG is not among them: natural in Flink,
# decimal in DuckDB.
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
    }
    | {"SQRT", "TAN"}
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
    """The names in braces. Raises DefinitionError when braces do not match."""
    try:
        return frozenset(
            name for text in texts for _, name, _, _ in Formatter().parse(text) if name is not None
        )
    except ValueError as error:
        raise DefinitionError(
            f"the braces do not match in {texts[0]!r}: {error}", "an aggregate is written {name}"
        ) from error


def check(what: str, text: str, columns: Sequence[str] = ()) -> None:
    """Refuse words and signs that Flink and DuckDB do not read alike; `columns` may stand in `text`
    without braces.

    Raises DefinitionError, beginning with `what`.
    """
    bare = re.sub(r"\{\w*\}", " 1e0 ", text)
    if strange := set(re.findall(r"[^\w\s.,+*/()<>=-]", bare)):
        hint = "write POWER(x, 2) for powers and <> for unequal; aggregates stand in {braces}"
        raise DefinitionError(
            f"{what}: {' '.join(sorted(strange))} is no sign of a formula, in {text!r}", hint
        )
    for word in WORD.findall(NUMBER.sub(" ", bare)):
        _check_word(what, word, columns)
    if found := WHOLE_DIVISION.search(bare):
        hint = f"write {found[0].partition('/')[0].strip()}e0 / …"
        raise DefinitionError(
            f"{what}: {found[0]!r} divides whole numbers, which Flink cuts off", hint
        )


def _check_word(what: str, word: str, columns: Sequence[str]) -> None:
    if word in columns or word.upper() in FUNCTIONS | WORDS:
        return
    known = f"columns: {', '.join(columns)}" if columns else "aggregates stand in {braces}"
    hint = f"{known}; functions: {', '.join(sorted(FUNCTIONS))}"
    raise DefinitionError(
        f"{what}: {word!r} is a reserved SQL word, or none that means something here", hint
    )


@lru_cache(maxsize=1)
def _duckdb() -> duckdb.DuckDBPyConnection:
    """One data base in memory that reaches no file; opening one takes longer than most
    evaluations."""
    return duckdb.connect(config={"enable_external_access": False, "threads": 1})


def evaluate(table: pl.DataFrame, expressions: Mapping[str, str]) -> pl.DataFrame:
    """One double column per expression over the columns of `table`, row for row.

    Raises DefinitionError with the name of the expression that cannot be read or computed.
    """
    if not expressions:
        return pl.DataFrame()
    columns = [f'CAST(({text}) AS DOUBLE) AS "{name}"' for name, text in expressions.items()]
    with _duckdb().cursor() as connection:
        connection.register("rows_", table)
        try:
            frame: pl.DataFrame = connection.sql(f"SELECT {', '.join(columns)} FROM rows_").pl()
        except duckdb.Error as error:
            raise _blamed(connection, expressions, error) from error
    return frame


def _blamed(
    connection: duckdb.DuckDBPyConnection, expressions: Mapping[str, str], error: duckdb.Error
) -> DefinitionError:
    """The first expression that fails alone."""
    for name, text in expressions.items():
        try:
            connection.execute(f"SELECT ({text}) FROM rows_").fetchall()
        except duckdb.Error as own:
            return DefinitionError(
                f"{name} cannot be computed: {str(own).partition(chr(10))[0]}", f"it says: {text}"
            )
    return DefinitionError(str(error))
