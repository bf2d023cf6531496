"""Feature examples: feature lines, ticks and expected values, in a YAML file.

`tick features test` evaluates one.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import polars as pl
import yaml  # type: ignore[import-untyped]  # its stubs are not installed
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from contracts.durations import SECOND_US
from contracts.errors import TickError
from contracts.features import AGGREGATES, CONTEXT, FEATURES, Aggregate, Feature
from contracts.messages.encoding import encode
from contracts.messages.parsing import parse
from contracts.tick import Rejected, Tick
from contracts.windows import LABELS, LEVELS, level_of
from feature_store.definition import reference
from feature_store.definition.checks import check_lines, nearest
from feature_store.definition.expressions import DefinitionError, evaluate

YAML_SUFFIXES = frozenset({".yaml", ".yml"})
NEAREST = 5
LEVEL_OF = {level.view: level for level in LEVELS}
LENGTH_S_MAX = 366 * 86_400  # longest span of ticks written by hand


Line = TypeVar("Line", bound=Feature | Aggregate)


class ExampleError(TickError):
    """A feature example file is invalid, or expects a value of a row that does not exist."""


def _refuse_other_fields(names: Sequence[str], line: object) -> object:
    unknown = [str(key) for key in line if key not in names] if isinstance(line, Mapping) else []
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)} (fields: {', '.join(names)})")
    return line


def _only_fields(kind: type[Feature] | type[Aggregate]) -> BeforeValidator:
    return BeforeValidator(partial(_refuse_other_fields, [field.name for field in fields(kind)]))


def _replace_by_name(lines: Sequence[Line], replacements: Sequence[Line]) -> tuple[Line, ...]:
    """The lines, with new ones in the place of those of the same name or at the end."""
    by_name: dict[str, Line] = {line.name: line for line in (*lines, *replacements)}
    return tuple(by_name.values())


class FeatureExample(BaseModel):
    """The content of a feature example file.

    `ticks`: the name of a file in the same folder, or rows [seconds from start, price, size, side]
    of one `symbol`. `features` and `aggregates` are lines as in contracts/features.py; a line with
    the name of an existing one replaces it. Each entry of `expect` has `at` (row end: UTC time, or
    seconds from start), `symbol` when there are several, and values by column.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticks: str | list[list[FiniteFloat]]
    symbol: str = "TEST:ONE"
    start: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    tolerance: float = Field(1e-9, gt=0, le=1)
    features: tuple[Annotated[Feature, _only_fields(Feature)], ...] = ()
    aggregates: tuple[Annotated[Aggregate, _only_fields(Aggregate)], ...] = ()
    expect: tuple[dict[str, Any], ...] = Field(min_length=1)

    @property
    def all_features(self) -> tuple[Feature, ...]:
        """The platform's features and those of the example."""
        return _replace_by_name(FEATURES, self.features)

    @property
    def all_aggregates(self) -> tuple[Aggregate, ...]:
        """The platform's aggregates and those of the example."""
        return _replace_by_name(AGGREGATES, self.aggregates)

    @property
    def start_s(self) -> int:
        """`start` as whole seconds since 1970."""
        return _epoch_s(self.start)

    def inline_ticks(self) -> pl.DataFrame:
        """The rows of the file as ticks. Raises ExampleError for an invalid row."""
        rows = self.ticks if isinstance(self.ticks, list) else []
        ticks = [self._tick(number, row) for number, row in enumerate(rows, 1)]
        return pl.DataFrame(ticks, list(Tick._fields), orient="row")

    def _tick(self, number: int, row: Sequence[float]) -> Tick:
        venue, _, symbol = self.symbol.partition(":")
        if not 3 <= len(row) <= 4:
            raise ExampleError(
                f"tick {number} is {row}",
                "write [seconds from start, price, size, side]; side is 1, -1 or 0, and may be"
                " left out",
            )
        second, price, size, side = (*row, 0.0)[:4]
        at_us = self.start_s * SECOND_US + round(second * SECOND_US)
        tick = Tick(venue, symbol, at_us, at_us, price, size, int(side), str(number), number)
        parsed = parse(encode(tick), (self.start_s + LENGTH_S_MAX) * SECOND_US)
        if isinstance(parsed, Rejected):
            raise ExampleError(
                f"tick {number} {row} is invalid: {parsed.reason} {parsed.detail}".rstrip(),
                "see `tick dead-letters --help` for reasons",
            )
        return tick


@dataclass(frozen=True, slots=True)
class Outcome:
    """An expected value and the computed one; they agree within `allowed`, NULL only with NULL."""

    symbol: str
    sec: int
    feature: str
    expected: float | None
    got: float | None
    allowed: float

    @property
    def difference(self) -> float | None:
        """Got − expected; None where one of them is NULL."""
        return None if self.got is None or self.expected is None else self.got - self.expected

    @property
    def ok(self) -> bool:
        """Whether they agree. NaN and infinity never do: a feature is a number or NULL."""
        if self.difference is None:
            return self.got is self.expected
        return abs(self.difference) <= self.allowed


def read_example(file: Path) -> FeatureExample:
    """Read a feature example.

    Raises ExampleError for an invalid file, DefinitionError for an invalid line in it.
    """
    try:
        example = FeatureExample.model_validate(yaml.safe_load(file.read_text()))
    except OSError as error:
        raise ExampleError(
            f"cannot read {file}: {error.strerror}",
            "pass a YAML file such as docs/examples/feature-example.yaml",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExampleError(
            f"{file} is not valid YAML: {error}", "quote text with {braces} or a colon"
        ) from error
    except ValidationError as error:
        raise ExampleError(
            f"{file}: {_first_problem(error)}",
            f"a feature example has the fields {', '.join(FeatureExample.model_fields)}",
        ) from error
    check_lines(example.all_features, example.all_aggregates)
    return example


def _first_problem(error: ValidationError) -> str:
    """Where in the file, counted from 1, and what is wrong there."""
    first = error.errors()[0]
    path = [str(part + 1) if isinstance(part, int) else part for part in first["loc"]]
    return f"{' → '.join(path) or 'the file'}: {first['msg']}"


class Expectation(NamedTuple):
    """One expected value, as written in the file, of a feature in the row of `symbol` at `sec`."""

    symbol: str
    sec: int
    feature: str
    value: object


class Column(NamedTuple):
    """Where a feature of one window is published, and below which size differences do not count."""

    view: str
    scale: float


def evaluate_example(example: FeatureExample, ticks: pl.DataFrame) -> list[Outcome]:
    """Compare every expected value with the reference implementation's value over the ticks.

    Only the expected rows are computed. Raises ExampleError for an unknown feature, symbol or row,
    DefinitionError where a formula cannot be computed.
    """
    columns = _columns(example.all_features)
    expectations = _expectations(example, ticks)
    if unknown := next((e.feature for e in expectations if e.feature not in columns), None):
        raise ExampleError(f"unknown feature {unknown!r}", nearest(unknown, columns))
    keys = [(columns[e.feature].view, e.symbol, e.sec) for e in expectations]
    rows = _compute_rows(example, ticks, keys)
    return [
        _outcome(e, rows[key][e.feature], columns[e.feature].scale, example.tolerance)
        for key, e in zip(keys, expectations, strict=True)
    ]


def _columns(features: Sequence[Feature]) -> dict[str, Column]:
    windows = ((f, w) for f in features for w in f.windows_s)
    columns = {f"{f.name}_{LABELS[w]}": Column(level_of(w).view, f.scale) for f, w in windows}
    return columns | dict.fromkeys(CONTEXT, Column(LEVELS[0].view, 1.0))


def _compute_rows(
    example: FeatureExample, ticks: pl.DataFrame, keys: Sequence[reference.Key]
) -> dict[reference.Key, dict[str, Any]]:
    """The rows at these keys. Raises ExampleError for the first one without a trade."""
    computed = reference.features(
        ticks, example.all_features, example.all_aggregates, only=set(keys), strict=True
    )
    rows = {
        (view, row["symbol"], row["event_time_us"] // SECOND_US): row
        for view, frame in computed.items()
        for row in frame.iter_rows(named=True)
    }
    if missing := next((key for key in keys if key not in rows), None):
        view, symbol, sec = missing
        raise ExampleError(
            f"{view} has no row of {symbol} that ends at {utc(sec)}",
            _nearest_rows(example, ticks, view, symbol, sec),
        )
    return rows


def _expectations(example: FeatureExample, ticks: pl.DataFrame) -> list[Expectation]:
    symbols = sorted((ticks["venue"] + ":" + ticks["symbol"]).unique().to_list())
    return [
        Expectation(_symbol_of(line, symbols), _row_end(example, line["at"]), feature, value)
        for line in example.expect
        for feature, value in _values(line)
    ]


def _outcome(
    expectation: Expectation, got: float | None, scale: float, tolerance: float
) -> Outcome:
    expected = _expected(expectation.feature, expectation.value)
    return Outcome(
        expectation.symbol,
        expectation.sec,
        expectation.feature,
        expected,
        got,
        tolerance * max(abs(expected or 0.0), scale),
    )


def _values(line: Mapping[str, Any]) -> list[tuple[str, object]]:
    values = [(name, value) for name, value in line.items() if name not in ("at", "symbol")]
    if not values or "at" not in line:
        raise ExampleError(
            f"an expectation needs `at` and a value, got {dict(line)}",
            "write {at: 12, volume_10s: 4.5}",
        )
    return values


def _symbol_of(line: Mapping[str, Any], symbols: Sequence[str]) -> str:
    """The symbol of one entry of `expect`, which need not name the only one."""
    symbol = line.get("symbol", symbols[0] if len(symbols) == 1 else None)
    if symbol in symbols:
        return str(symbol)
    raise ExampleError(
        "an expectation names no symbol" if symbol is None else f"there are no ticks of {symbol}",
        f"set `symbol` to one of {', '.join(symbols) or '(no ticks)'}",
    )


def _row_end(example: FeatureExample, at: object) -> int:
    """`at` of one entry of `expect` as seconds since 1970."""
    with suppress(ValueError, OverflowError):
        sec = (
            example.start_s + int(at)
            if isinstance(at, int | float) and at == int(at)
            else _epoch_s(datetime.fromisoformat(str(at)))
        )
        datetime.fromtimestamp(sec, UTC)  # raises for a time outside the calendar
        return sec
    raise ExampleError(
        f"{at!r} is not the time of a row",
        "write whole seconds from start, or a UTC time such as 2024-01-01T09:30:00Z",
    )


def _epoch_s(moment: datetime) -> int:
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def utc(sec: int) -> str:
    """Seconds since 1970 as readable UTC text."""
    return f"{datetime.fromtimestamp(sec, UTC):%Y-%m-%d %H:%M:%S}"


def _expected(name: str, text: object) -> float | None:
    """A number, NULL, or the value of an expression such as LN(101 / 100)."""
    if text is None:
        return None
    if isinstance(text, int | float):
        return float(text)
    try:
        value = evaluate(pl.DataFrame({"one": [1]}), {name: str(text)})[name][0]
    except DefinitionError as error:
        raise ExampleError(
            f"the expected value of {name} is neither number, null nor expression: {text!r}",
            error.message,
        ) from error
    return None if value is None else float(value)


def _nearest_rows(
    example: FeatureExample, ticks: pl.DataFrame, view: str, symbol: str, sec: int
) -> str:
    level = LEVEL_OF[view]
    ends = reference.row_ends(ticks, level).filter(pl.col("symbol") == symbol)["sec"].to_list()
    near = sorted(sorted(ends, key=lambda end: abs(end - sec))[:NEAREST])
    times = ", ".join(_row_time(example, end) for end in near)
    return f"a row ends at every {level.tile_s} s bar with a trade; the nearest: {times}"


def _row_time(example: FeatureExample, end_s: int) -> str:
    """A row end as UTC text, and as the file counts it when it contains the ticks."""
    in_file = f" (at: {end_s - example.start_s})" if isinstance(example.ticks, list) else ""
    return utc(end_s) + in_file
