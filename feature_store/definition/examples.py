"""A trial: feature lines, ticks and the values a person expects of them, as a YAML file for `tick
features test`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import polars as pl
import yaml  # type: ignore[import-untyped]  # its stubs are not installed
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from contracts.errors import TickError
from contracts.features import AGGREGATES, CONTEXT, FEATURES, Aggregate, Feature
from contracts.parsing import parse
from contracts.tick import Rejected, Tick
from contracts.windows import LABELS, LEVELS, level_of
from contracts.wire import encode
from feature_store.definition import reference
from feature_store.definition.checks import check_lines, nearest
from feature_store.definition.expressions import DefinitionError, evaluate

SECOND_US = 1_000_000
YAML_SUFFIXES = frozenset({".yaml", ".yml"})
NEAREST = 5
LENGTH_S_MAX = 366 * 86_400  # a trial by hand does not last longer


class TrialError(TickError):
    """A trial file is no such file, or expects a value of a row that does not exist."""


def _only_fields(kind: type[Feature] | type[Aggregate]) -> BeforeValidator:
    known = [field.name for field in fields(kind)]

    def refuse_others(line: object) -> object:
        if isinstance(line, Mapping) and (
            unknown := [str(key) for key in line if key not in known]
        ):
            raise ValueError(f"no such field: {', '.join(unknown)} (there are {', '.join(known)})")
        return line

    return BeforeValidator(refuse_others)


class Trial(BaseModel):
    """The file. `ticks`: the name of a file beside it, or rows [seconds from start, price, size,
    side] of one `symbol`.

    `features` and `aggregates` are lines as in contracts/features.py; one that has the name of an
    existing line replaces it. Each of `expect` has `at` (row end: UTC time, or seconds from start),
    `symbol` where there are several, and values.
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
        """The platform's features and those of the trial."""
        return tuple({f.name: f for f in (*FEATURES, *self.features)}.values())

    @property
    def all_aggregates(self) -> tuple[Aggregate, ...]:
        """The platform's aggregates and those of the trial."""
        return tuple({a.name: a for a in (*AGGREGATES, *self.aggregates)}.values())

    @property
    def start_s(self) -> int:
        """`start` as whole seconds since 1970."""
        return _epoch_s(self.start)

    def inline_ticks(self) -> pl.DataFrame:
        """The rows of the file as ticks. Raises TrialError for a row that is none."""
        rows = self.ticks if isinstance(self.ticks, list) else []
        return pl.DataFrame(
            [self._tick(i, row) for i, row in enumerate(rows, 1)], list(Tick._fields), orient="row"
        )

    def _tick(self, number: int, row: Sequence[float]) -> Tick:
        venue, _, symbol = self.symbol.partition(":")
        if not 3 <= len(row) <= 4:
            raise TrialError(
                f"tick {number} is {row}",
                "write [seconds from start, price, size, side]; side is 1, -1 or 0, and may be"
                " left out",
            )
        at_us = self.start_s * SECOND_US + round(row[0] * SECOND_US)
        made = Tick(
            venue,
            symbol,
            at_us,
            at_us,
            row[1],
            row[2],
            int(row[3]) if len(row) == 4 else 0,
            str(number),
            number,
        )
        judged = parse(encode(made), (self.start_s + LENGTH_S_MAX) * SECOND_US)
        if isinstance(judged, Rejected):
            raise TrialError(
                f"tick {number} {row} is no tick: {judged.reason} {judged.detail}".rstrip(),
                "see `tick dead-letters --help` for reasons",
            )
        return made


@dataclass(frozen=True, slots=True)
class Outcome:
    """One expected value beside what came out; both agree within `allowed`, NULL only with NULL."""

    symbol: str
    sec: int
    feature: str
    expected: float | None
    got: float | None
    allowed: float

    @property
    def difference(self) -> float | None:
        """Got − expected, None where one of them is NULL."""
        return None if self.got is None or self.expected is None else self.got - self.expected

    @property
    def ok(self) -> bool:
        """NaN and infinity are never right: a feature is a number or NULL."""
        if self.difference is None:
            return self.got is self.expected
        return abs(self.difference) <= self.allowed


def read(file: Path) -> Trial:
    """The trial in a YAML file. Raises TrialError where it is none, DefinitionError where a line of
    it is wrong.
    """
    try:
        trial = Trial.model_validate(yaml.safe_load(file.read_text()))
    except OSError as error:
        raise TrialError(
            f"cannot read {file}: {error.strerror}",
            "give a YAML file; docs/examples/feature-trial.yaml is one",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrialError(
            f"{file} is no YAML: {error}", "text with {braces} or a colon needs quotes"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = (
            " → ".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
            or "the file"
        )
        raise TrialError(
            f"{file}: {where}: {first['msg']}", f"a trial has {', '.join(Trial.model_fields)}"
        ) from error
    check_lines(trial.all_features, trial.all_aggregates)
    return trial


class Asked(NamedTuple):
    """One expectation: a feature of the row of `symbol` that ends at `sec`, and the value as
    written in the file.
    """

    symbol: str
    sec: int
    feature: str
    value: object


def run(trial: Trial, ticks: pl.DataFrame) -> list[Outcome]:
    """Every expected value with what the naive evaluator makes of the ticks; only the rows asked
    for are computed.

    Raises TrialError for an unknown feature, symbol or row, DefinitionError where a formula cannot
    be computed.
    """
    columns = {
        f"{f.name}_{LABELS[w]}": (level_of(w).view, f.scale)
        for f in trial.all_features
        for w in f.windows_s
    }
    columns |= dict.fromkeys(CONTEXT, (LEVELS[0].view, 1.0))
    asked = _asked(trial, ticks)
    if unknown := next((one.feature for one in asked if one.feature not in columns), None):
        raise TrialError(f"there is no feature {unknown!r}", nearest(unknown, columns))
    keys = [(columns[one.feature][0], one.symbol, one.sec) for one in asked]
    made = reference.features(
        ticks, trial.all_features, trial.all_aggregates, only=set(keys), strict=True
    )
    rows = {
        (view, r["symbol"], r["event_time_us"] // SECOND_US): r
        for view, frame in made.items()
        for r in frame.iter_rows(named=True)
    }
    if missing := next((key for key in keys if key not in rows), None):
        raise TrialError(
            f"{missing[0]} has no row of {missing[1]} that ends at {utc(missing[2])}",
            _nearest_rows(trial, ticks, *missing),
        )
    found = [rows[key][one.feature] for key, one in zip(keys, asked, strict=True)]
    return [
        _outcome(one, got, columns[one.feature][1], trial.tolerance)
        for one, got in zip(asked, found, strict=True)
    ]


def _asked(trial: Trial, ticks: pl.DataFrame) -> list[Asked]:
    made: list[Asked] = []
    for line in trial.expect:
        values = _values(line)
        made += [Asked(*_where(trial, line, ticks), name, value) for name, value in values]
    return made


def _outcome(asked: Asked, got: float | None, scale: float, tolerance: float) -> Outcome:
    expected = _expected(asked.feature, asked.value)
    return Outcome(
        asked.symbol,
        asked.sec,
        asked.feature,
        expected,
        got,
        tolerance * max(abs(expected or 0.0), scale),
    )


def _values(line: Mapping[str, Any]) -> list[tuple[str, object]]:
    values = [(name, value) for name, value in line.items() if name not in ("at", "symbol")]
    if not values or "at" not in line:
        raise TrialError(
            f"an expectation says nothing: {dict(line)}", "write {at: 12, volume_10s: 4.5}"
        )
    return values


def _where(trial: Trial, line: Mapping[str, Any], ticks: pl.DataFrame) -> tuple[str, int]:
    symbols = sorted((ticks["venue"] + ":" + ticks["symbol"]).unique().to_list())
    symbol = line.get("symbol", symbols[0] if len(symbols) == 1 else None)
    if symbol not in symbols:
        said = (
            "an expectation names no symbol"
            if symbol is None
            else f"there are no ticks of {symbol}"
        )
        raise TrialError(said, f"there are ticks of: {', '.join(symbols) or 'nothing'}")
    return str(symbol), _seconds(trial, line.get("at"))


def _seconds(trial: Trial, at: object) -> int:
    """`at` as seconds since 1970."""
    with suppress(ValueError, OverflowError):
        sec = (
            trial.start_s + int(at)
            if isinstance(at, int | float) and at == int(at)
            else _epoch_s(datetime.fromisoformat(str(at)))
        )
        datetime.fromtimestamp(sec, UTC)  # beyond the calendar it is no time either
        return sec
    raise TrialError(
        f"{at!r} is no time of a row",
        "write whole seconds from start, or a UTC time such as 2024-01-01T09:30:00Z",
    )


def _epoch_s(moment: datetime) -> int:
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def utc(sec: int) -> str:
    """Seconds since 1970 as people read them."""
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
        raise TrialError(
            f"the value expected of {name} is neither number, null nor expression: {text!r}",
            error.message,
        ) from error
    return None if value is None else float(value)


def _nearest_rows(trial: Trial, ticks: pl.DataFrame, view: str, symbol: str, sec: int) -> str:
    level = next(level for level in LEVELS if level.view == view)
    ends = reference.row_ends(ticks, level).filter(pl.col("symbol") == symbol)["sec"].to_list()
    near = sorted(sorted(ends, key=lambda end: abs(end - sec))[:NEAREST])
    told = ", ".join(
        f"{utc(end)} (at: {end - trial.start_s})" if isinstance(trial.ticks, list) else utc(end)
        for end in near
    )
    return f"a row ends every {level.tile_s} s that has a trade; the nearest: {told}"
