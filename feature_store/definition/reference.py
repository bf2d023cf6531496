"""The reference implementation: any feature definition over plain ticks, without Flink.

It sums every window from scratch. It shares the definitions with `feature_store/sql/windows.py` but
no code that computes them: sums are `math.fsum`, rows are Python lists, and only the text of a
definition is evaluated by DuckDB, in double precision. Parity and `tick features test` compare with
it.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from contracts.features import AGGREGATES, CONTEXT, FEATURES, TICKS_MAX, Aggregate, Feature
from contracts.tick import NOTIONAL_MAX
from contracts.units import SECOND_US
from contracts.windows import LABELS, LEVELS, WARM_CAP_S, Level
from feature_store.definition.expressions import DefinitionError, evaluate, names_in
from feature_store.sql.windows import CONSTANTS

DAY_S = 86_400
Key = tuple[str, str, int]  # view, symbol (VENUE:SYMBOL), row end in seconds
Only = Collection[Key] | range | None
Terms = Sequence[float | None]

BAR: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    **dict.fromkeys(("sec", "n", "s"), pl.Int64()),
    **dict.fromkeys(("v", "pv", "sv", "high", "low", "close_price", "r", "r1"), pl.Float64()),
}
KEYS: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    **dict.fromkeys(("sec", "known_at_us", "warm_s"), pl.Int64()),
}


def features(
    ticks: pl.DataFrame,
    features: Sequence[Feature] = FEATURES,
    aggregates: Sequence[Aggregate] = AGGREGATES,
    levels: Sequence[Level] = LEVELS,
    only: Only = None,
    *,
    strict: bool = False,
) -> dict[str, pl.DataFrame]:
    """Per view: symbol, event_time_us (row end), known_at_us, warm_s and the feature columns.

    Sorted by symbol and time. `ticks` has the contract's columns in any order, copies included;
    history begins with the first tick. `only` selects (view, symbol, sec) keys, or rows whose end
    is in a range of seconds; other rows are not computed. A feature is NULL where a summand is too
    large for the exact sums of the SQL. `strict` raises DefinitionError for such a summand, and for
    one that is not finite.
    """
    trades = distinct(ticks).partition_by("symbol", as_dict=True)
    views = {}
    for level in levels:
        own = tuple(f for f in features if set(f.windows_s) & set(level.windows_s))
        used = names_in(*(text for f in own for text in (f.formula, f.null_if)))
        charts = [Chart(str(symbol), frame, level) for (symbol,), frame in sorted(trades.items())]
        parts = _aggregated(
            charts, level, tuple(a for a in aggregates if a.name in used), only, strict
        )
        views[level.view] = _published(parts, own, aggregates, level, context=level is levels[0])
    return views


def row_ends(ticks: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Every row of a level: symbol and sec (row end), sorted. Cheap, so useful for sampling."""
    sec = (pl.col("event_time_us") // (level.tile_s * SECOND_US) + 1) * level.tile_s
    return ticks.select(symbol=_symbol(), sec=sec).unique().sort("symbol", "sec")


def distinct(ticks: pl.DataFrame) -> pl.DataFrame:
    """One tick per trade id and second, known since the arrival of its first copy.

    Of copies that contradict each other the largest value of each field counts. Where price × size
    would then exceed the contract's largest notional, the size is reduced to fit.
    """
    second = pl.col("event_time_us") // SECOND_US
    largest = [pl.col(name).max() for name in ("price", "size", "side", "seq", "event_time_us")]
    trades = ticks.group_by(_symbol().alias("symbol"), "trade_id", second.alias("second"))
    price, size = pl.col("price"), pl.col("size")
    too_large = price * size > NOTIONAL_MAX
    capped = pl.when(too_large).then(NOTIONAL_MAX / price).otherwise(size).alias("size")
    merged = trades.agg(*largest, pl.col("ingest_time_us").min())
    return merged.with_columns(capped).sort("symbol", "event_time_us", "seq")


def _symbol() -> pl.Expr:
    return pl.col("venue") + ":" + pl.col("symbol")


class Chart:
    """The non-empty bars of one symbol at one level, by position; a bar is computed on access."""

    def __init__(self, symbol: str, trades: pl.DataFrame, level: Level) -> None:
        self.symbol, self.level = symbol, level
        numbers, starts = np.unique(
            trades["event_time_us"].to_numpy() // (level.tile_s * SECOND_US), return_index=True
        )
        self.ends: list[int] = ((numbers + 1) * level.tile_s).tolist()
        self._stops: list[int] = [*starts.tolist(), len(trades)]
        self._of = {
            name: trades[name].to_numpy()
            for name in ("price", "size", "side", "event_time_us", "seq", "ingest_time_us")
        }

    def first(self, at: int, window_s: int) -> int:
        """Position of the oldest bar inside the window that ends with bar `at`."""
        return bisect_right(self.ends, self.ends[at] - window_s)

    def known_at_us(self, first: int, at: int) -> int:
        """Newest arrival among the trades of the bars `first` to `at`."""
        return int(self._of["ingest_time_us"][self._stops[first] : self._stops[at + 1]].max())

    def close(self, at: int) -> float:
        """Price of the last trade by (event time, seq).

        Of several such trades the one whose price is largest as text, as in the SQL.
        """
        newest = last = self._stops[at + 1] - 1
        while last > self._stops[at] and all(
            self._of[name][last - 1] == self._of[name][newest] for name in ("event_time_us", "seq")
        ):
            last -= 1
        return float(max(self._of["price"][last : newest + 1].tolist(), key=str))

    def returns(self, at: int) -> float | None:
        """ln(close/previous close) of bar `at`; None without a previous bar."""
        return math.log(self.close(at) / self.close(at - 1)) if at > 0 else None

    def row(self, at: int) -> tuple[object, ...]:
        """The row columns of a definition, in the order of BAR."""
        trades = slice(self._stops[at], self._stops[at + 1])
        price, size, side = (self._of[name][trades] for name in ("price", "size", "side"))
        sums = (math.fsum(amounts.tolist()) for amounts in (size, price * size, side * size))
        r1 = self.returns(at - 1) if at > 0 else None
        ends = (float(price.max()), float(price.min()), self.close(at), self.returns(at), r1)
        return (self.symbol, self.ends[at], len(price), int(side.sum()), *sums, *ends)


@dataclass(frozen=True)
class Selection:
    """The selected rows of one chart and all bars of their windows, as ascending positions."""

    chart: Chart
    rows: list[int]
    bars: list[int]

    @classmethod
    def of_chart(cls, chart: Chart, only: Only) -> "Selection":
        """All rows, or those that `only` selects."""
        view = chart.level.view
        rows = [
            at for at, sec in enumerate(chart.ends) if _is_selected(only, view, chart.symbol, sec)
        ]
        spans = (range(chart.first(at, chart.level.window_max_s), at + 1) for at in rows)
        return cls(chart, rows, sorted(set().union(*spans)))


def _is_selected(only: Only, view: str, symbol: str, sec: int) -> bool:
    if only is None:
        return True
    return sec in only if isinstance(only, range) else (view, symbol, sec) in only


def _aggregated(
    charts: Iterable[Chart], level: Level, used: Sequence[Aggregate], only: Only, strict: bool
) -> pl.DataFrame:
    """KEYS of the selected rows and, per window of the level, a column `<aggregate>_<window>`."""
    keys = only if only is None or isinstance(only, range) else frozenset(only)
    selections = [Selection.of_chart(chart, keys) for chart in charts]
    bars = pl.DataFrame([s.chart.row(at) for s in selections for at in s.bars], BAR, orient="row")
    terms = evaluate(bars, {a.name: a.of for a in used if a.of})
    if strict:
        _require_summable(bars, terms, used)
    columns: dict[str, Terms] = {name: terms[name].to_list() for name in terms.columns}
    columns |= _overflow_columns(bars, terms, used)
    rows, offset = [], 0
    for selection in selections:
        end = offset + len(selection.bars)
        terms_here = {name: values[offset:end] for name, values in columns.items()}
        rows += _rows(selection, terms_here, used)
        offset = end
    names = [f"{a.name}_{w}" for w in level.windows_s for a in used]
    return pl.DataFrame(rows, KEYS | dict.fromkeys(names, pl.Float64()), orient="row")


def _overflow_columns(
    bars: pl.DataFrame, terms: pl.DataFrame, used: Sequence[Aggregate]
) -> dict[str, Terms]:
    """Per sum that can overflow `<aggregate>:over`, 1 for a bar whose summand is too large; and
    their count.
    """
    crowded = bars["n"] > TICKS_MAX
    over: dict[Aggregate, pl.Series] = {}
    for a in (a for a in used if a.unit and not a.always_fits):
        too_large = (terms[a.name].abs() > a.summand_max).fill_null(value=False)
        over[a] = (crowded | too_large).cast(pl.Float64)
    summands = {(a.of, a.unit): flags for a, flags in over.items()}
    total = pl.zeros(len(bars), pl.Float64, eager=True)
    for flags in summands.values():
        total += flags
    counts = {a.name: total.to_list() for a in used if a.verb == "overflows"}
    columns: dict[str, Terms] = {f"{a.name}:over": flags.to_list() for a, flags in over.items()}
    return columns | counts


def _require_summable(bars: pl.DataFrame, terms: pl.DataFrame, used: Sequence[Aggregate]) -> None:
    for aggregate in (a for a in used if a.name in terms.columns):
        term = terms[aggregate.name]
        limit = aggregate.summand_max
        for at in (
            (term.is_not_null() & ~(term.is_finite() & (term.abs() <= limit)))
            .arg_true()
            .head(1)
            .to_list()
        ):
            where = f"{term[at]:g} for {bars['symbol'][at]}, row end {bars['sec'][at]} s"
            hint = (
                "replace it by 0e0 there (CASE WHEN …), or choose a larger unit"
                if aggregate.unit
                else "make it NULL there (CASE WHEN …)"
            )
            raise DefinitionError(
                f"aggregate {aggregate.name}: {aggregate.of} is {where}; the limit is {limit:g}",
                hint,
            )


def _rows(
    selection: Selection, terms: dict[str, Terms], used: Sequence[Aggregate]
) -> list[tuple[object, ...]]:
    chart = selection.chart
    place = {at: i for i, at in enumerate(selection.bars)}
    rows: list[tuple[object, ...]] = []
    for at in selection.rows:
        sec, first = chart.ends[at], chart.first(at, chart.level.window_max_s)
        keys = (
            chart.symbol,
            sec,
            chart.known_at_us(first, at),
            min(sec - chart.ends[0], WARM_CAP_S),
        )
        values: list[float | None] = []
        for window_s in chart.level.windows_s:
            inside = range(place[chart.first(at, window_s)], place[at] + 1)
            window = {name: term[inside.start : inside.stop] for name, term in terms.items()}
            values += [_verb(a, len(inside), window) for a in used]
        rows.append((*keys, *values))
    return rows


# Each verb as a function of a window's terms, oldest first. A missing summand counts as zero.
VERBS: dict[str, Callable[[Terms], float | None]] = {
    "sum": lambda terms: math.fsum(_present(terms)),
    "sum_inner": lambda terms: math.fsum(_present(terms[1:])),
    "last": lambda terms: terms[-1],
    "max": lambda terms: max(_present(terms), default=None),
    "min": lambda terms: min(_present(terms), default=None),
}
COUNTS = ("rows", "overflows")  # verbs without a summand


def _verb(aggregate: Aggregate, rows: int, terms: dict[str, Terms]) -> float | None:
    """The aggregate over the terms of a window; None where a summand is too large for its sum."""
    if aggregate.verb == "rows":
        return float(rows)
    if aggregate.verb == "overflows":
        return math.fsum(_present(terms[aggregate.name]))
    if any(terms.get(f"{aggregate.name}:over", ())):
        return None
    return VERBS[aggregate.verb](terms[aggregate.name])


def _present(terms: Terms) -> list[float]:
    return [term for term in terms if term is not None]


def _published(
    parts: pl.DataFrame,
    features: Sequence[Feature],
    aggregates: Sequence[Aggregate],
    level: Level,
    *,
    context: bool,
) -> pl.DataFrame:
    """The formulas over the aggregates, in the column order of `contracts.features.columns`."""
    formulas = {
        f"{f.name}_{LABELS[w]}": _formula(f, aggregates, w)
        for w in level.windows_s
        for f in features
        if w in f.windows_s
    }
    frame = evaluate(parts, formulas)
    keys = parts.select(
        "symbol", pl.col("sec").mul(SECOND_US).alias("event_time_us"), "known_at_us", "warm_s"
    )
    angles = [2 * math.pi * (sec % DAY_S) / DAY_S for sec in parts["sec"].to_list()]
    waves = [
        pl.Series(name, map(wave, angles), pl.Float64)
        for name, wave in zip(CONTEXT, (math.sin, math.cos), strict=True)
    ]
    return keys.hstack(frame).hstack(waves if context else [])


@cache
def _names(aggregates: tuple[Aggregate, ...], window_s: int) -> dict[str, str]:
    return {a.name: f"{a.name}_{window_s}" for a in aggregates} | CONSTANTS | {"w": f"{window_s}e0"}


def _formula(feature: Feature, aggregates: Sequence[Aggregate], window_s: int) -> str:
    names = _names(tuple(aggregates), window_s)
    used = names_in(feature.formula, feature.null_if)
    exact = [names[a.name] for a in aggregates if a.unit and a.name in used]
    nulls = [f"warm_s < {window_s}", *(f"{name} IS NULL" for name in exact)]
    nulls += [feature.null_if.format_map(names)] if feature.null_if else []
    null_cases = " ".join(f"WHEN {null} THEN NULL" for null in nulls)
    return f"CASE {null_cases} ELSE {feature.formula.format_map(names)} END"
