"""Compares two sides value by value: one diff per column with counts and the largest error. Pure.

A pair of rows has the expected values under their names and the others under `<name>:got`. They
agree within 1e-9·max(|x|, scale).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from contracts.features import Column
from feature_store.parity.causes import Causes

GOT = ":got"
TOLERANCE = 1e-9
KEYS = ("symbol", "event_time_us")
CAUSES = ("late", "warm_up", "new_column", "unexplained")
COUNTS = ("compared", "null_got", "null_expected", *CAUSES)


@dataclass(frozen=True, slots=True)
class Where:
    """The place of a difference.

    `relative` is relative to max(|expected|, scale), infinite where one side is NULL.
    """

    relative: float
    symbol: str
    event_time_us: int
    expected: float | None
    got: float | None

    def as_dict(self) -> dict[str, Any]:
        """The place as JSON, in which NaN and infinity are None."""
        numbers = ("relative", "expected", "got")
        return asdict(self) | {name: finite_or_none(getattr(self, name)) for name in numbers}


@dataclass(slots=True)
class ColumnDiff:
    """The differences in one column, counted in values.

    `null_got` and `null_expected` have a value only on the other side. mismatch = late + warm_up +
    new_column + unexplained. `worst` is the largest error without an explanation, within the
    tolerance or beyond; None when there is none.
    """

    name: str
    view: str
    compared: int = 0
    null_got: int = 0
    null_expected: int = 0
    late: int = 0
    warm_up: int = 0
    new_column: int = 0
    unexplained: int = 0
    worst: Where | None = None

    @property
    def mismatch(self) -> int:
        """Values beyond the tolerance, and NULLs against values, explained or not."""
        return self.late + self.warm_up + self.new_column + self.unexplained

    @property
    def largest_error(self) -> float:
        """The relative error at `worst`; 0 when there is none, infinite for NULL on one side."""
        return self.worst.relative if self.worst else 0.0

    def add(self, other: "ColumnDiff") -> None:
        """Add the counts of another part of the same column."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst = _larger(self.worst, other.worst)

    def as_dict(self) -> dict[str, Any]:
        """The diff as JSON; an infinite error is None."""
        names = ("name", "view", "compared", "mismatch", "null_got", "null_expected", *CAUSES)
        values = {name: getattr(self, name) for name in names}
        return values | {"worst": self.worst.as_dict() if self.worst else None}


class ColumnDiffs(dict[tuple[str, str], ColumnDiff]):
    """Diffs by (view, column), summed over slices."""

    def add(self, diffs: Sequence[ColumnDiff]) -> None:
        """Add the diffs of another slice."""
        for diff in diffs:
            self.setdefault((diff.view, diff.name), ColumnDiff(diff.name, diff.view)).add(diff)

    @property
    def unexplained(self) -> int:
        """Values that differ without a cause."""
        return self.total().unexplained

    def total(self) -> ColumnDiff:
        """The sum over all columns, with the worst place of all."""
        total = ColumnDiff("", "")
        for diff in self.values():
            total.add(diff)
        return total

    def as_dicts(self) -> list[dict[str, Any]]:
        """The diffs as JSON, in the order in which their columns were compared."""
        return [diff.as_dict() for diff in self.values()]


def pair(expected: pl.DataFrame, got: pl.DataFrame) -> pl.DataFrame:
    """Rows that both sides have, next to each other."""
    return expected.join(got, on=KEYS, how="inner", suffix=GOT)


def compare(pairs: pl.DataFrame, columns: Sequence[Column], causes: Causes) -> list[ColumnDiff]:
    """One diff per column over `pairs`; differences are explained by `causes` where possible."""
    errors = pairs.select(_error(column).alias(column.name) for column in columns)
    beyond = errors.select(pl.all().is_null() | (pl.all() > TOLERANCE))
    differs = beyond.select(pl.any_horizontal(pl.all())).to_series()
    same, same_errors = pairs.filter(~differs), errors.filter(~differs)
    other, other_errors, other_beyond = (frame.filter(differs) for frame in (pairs, errors, beyond))
    diffs = []
    for column in columns:
        name = column.name
        diff = _explain(other, column, other_errors[name], other_beyond[name], causes)
        diff.compared = len(pairs)
        diff.worst = _larger(_worst(same, column, same_errors[name]), diff.worst)
        diffs.append(diff)
    return diffs


def _error(column: Column) -> pl.Expr:
    """Relative error: 0 for equal values and for two NULLs, null for NULL against a value.

    Infinite for NaN.
    """
    expected, got = pl.col(column.name), pl.col(column.name + GOT)
    size = pl.max_horizontal(expected.abs(), pl.lit(column.scale))
    return (
        pl.when(got.eq_missing(expected))
        .then(0.0)
        .otherwise(((got - expected).abs() / size).fill_nan(math.inf))
    )


def _explain(
    rows: pl.DataFrame, column: Column, errors: pl.Series, beyond: pl.Series, causes: Causes
) -> ColumnDiff:
    """The differences of one column in `rows`, of which those `beyond` the tolerance need a cause.

    The search for late ticks is expensive: a column without such rows skips it.
    """
    if not beyond.any():
        return ColumnDiff(column.name, column.view, worst=_worst(rows, column, errors))
    got_null, expected_null = rows[column.name + GOT].is_null(), rows[column.name].is_null()
    warm_up = beyond & got_null & causes.warm_up(rows, column.window_s)
    new = beyond & ~warm_up & causes.new_column(rows, column)
    late = beyond & ~warm_up & ~new & causes.late(rows, column)
    without_cause = ~(warm_up | new | late)
    open_errors = pl.select(pl.when(without_cause).then(errors.fill_null(math.inf))).to_series()
    return ColumnDiff(
        column.name,
        column.view,
        null_got=int((beyond & got_null).sum()),
        null_expected=int((beyond & expected_null).sum()),
        late=int(late.sum()),
        warm_up=int(warm_up.sum()),
        new_column=int(new.sum()),
        unexplained=int((beyond & without_cause).sum()),
        worst=_worst(rows, column, open_errors),
    )


def _worst(rows: pl.DataFrame, column: Column, errors: pl.Series) -> Where | None:
    at = errors.arg_max()
    if at is None or not errors[at]:  # no rows, or no difference
        return None
    names = (*KEYS, column.name, column.name + GOT)
    return Where(float(errors[at]), *rows.select(names).row(at))


def _larger(one: Where | None, other: Where | None) -> Where | None:
    places = (where for where in (one, other) if where)
    return max(places, key=lambda where: where.relative, default=None)


def finite_or_none(value: float | None) -> float | None:
    """The value, or None for NaN and infinity, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None
