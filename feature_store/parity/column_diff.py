"""Compares two sides value by value: one diff per column with counts and the largest error. Pure.

A pair of rows has the expected values under their names and the others under `<name>:got`. They
agree within 1e-9·max(|x|, scale).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from contracts.features import Column
from feature_store.parity.causes import Causes

GOT = ":got"
TOLERANCE = 1e-9
KEYS = ("symbol", "event_time_us")


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

    def add(self, other: "ColumnDiff") -> None:
        """Add the counts of another part of the same column."""
        for name in (
            "compared",
            "null_got",
            "null_expected",
            "late",
            "warm_up",
            "new_column",
            "unexplained",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst = _larger(self.worst, other.worst)

    def as_dict(self) -> dict[str, Any]:
        """The diff as JSON; an infinite error is None."""
        counts = {
            name: getattr(self, name)
            for name in ("name", "view", "compared", "mismatch", "null_got", "null_expected")
        }
        counts |= {
            "late": self.late,
            "warm_up": self.warm_up,
            "new_column": self.new_column,
            "unexplained": self.unexplained,
        }
        return counts | {"worst": None if self.worst is None else _plain(self.worst)}


class ColumnDiffs(dict[tuple[str, str], ColumnDiff]):
    """Diffs by (view, column), summed over slices."""

    def add(self, diffs: Sequence[ColumnDiff]) -> None:
        """Add the diffs of another slice."""
        for diff in diffs:
            self.setdefault((diff.view, diff.name), ColumnDiff(diff.name, diff.view)).add(diff)

    @property
    def unexplained(self) -> int:
        """Values that differ without a cause."""
        return sum(diff.unexplained for diff in self.values())


def pair(expected: pl.DataFrame, got: pl.DataFrame) -> pl.DataFrame:
    """Rows that both sides have, next to each other."""
    return expected.join(got, on=KEYS, how="inner", suffix=GOT)


def compare(pairs: pl.DataFrame, columns: Sequence[Column], causes: Causes) -> list[ColumnDiff]:
    """One diff per column over `pairs`; differences are explained by `causes` where possible."""
    errors = pairs.select(_error(column).alias(column.name) for column in columns)
    beyond = errors.select(pl.all().is_null() | (pl.all() > TOLERANCE))
    differs = beyond.select(pl.any_horizontal(pl.all())).to_series()
    same, same_errors = pairs.filter(~differs), errors.filter(~differs)
    other, other_errors, other_beyond = (
        pairs.filter(differs),
        errors.filter(differs),
        beyond.filter(differs),
    )
    diffs = []
    for column in columns:
        diff = ColumnDiff(
            column.name,
            column.view,
            len(pairs),
            worst=_worst(same, column, same_errors[column.name]),
        )
        name = column.name
        if other_beyond[name].any():
            diff.add(_explain(other, column, other_errors[name], other_beyond[name], causes))
        else:
            diff.worst = _larger(diff.worst, _worst(other, column, other_errors[name]))
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
    if one is None or other is None:
        return one or other
    return other if other.relative > one.relative else one


def _plain(where: Where) -> dict[str, Any]:
    relative = where.relative if math.isfinite(where.relative) else None
    values = {"expected": _finite(where.expected), "got": _finite(where.got)}
    return {
        "relative": relative,
        "symbol": where.symbol,
        "event_time_us": where.event_time_us,
    } | values


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
