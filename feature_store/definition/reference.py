"""The reference implementation: any feature definition over plain ticks, without Flink.

It sums every window from scratch. It shares the definitions with `feature_store/sql/windows.py` but
no code that computes them: sums are `math.fsum`, rows are Python lists, and only the text of a
definition is evaluated by DuckDB, in double precision. Parity and `tick features test` compare with
it.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain, repeat

import numpy as np
import polars as pl

from contracts.durations import SECOND_US
from contracts.features import AGGREGATES, CONTEXT, FEATURES, TICKS_MAX, Aggregate, Feature
from contracts.tick import NOTIONAL_MAX
from contracts.windows import LABELS, LEVELS, WARM_CAP_S, Level
from feature_store.definition.expressions import DefinitionError, evaluate, names_in
from feature_store.sql.windows import CONSTANTS

DAY_S = 86_400
Key = tuple[str, str, int]  # view, symbol (VENUE:SYMBOL), row end in seconds
Only = Collection[Key] | range | None
Terms = Sequence[float | None]
Columns = dict[str, Terms]  # by aggregate: the term of each bar

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

    Sorted by symbol and time. `ticks` has the contract's columns in any order, duplicates included;
    history begins with the first tick. `only` selects (view, symbol, sec) keys, or rows whose end
    is in a range of seconds; other rows are not computed. A feature is NULL where a summand is too
    large for the exact sums of the SQL. `strict` raises DefinitionError for such a summand, and for
    one that is not finite.
    """
    trades = sorted(distinct_trades(ticks).partition_by("symbol", as_dict=True).items())
    is_selected = _selector(only)
    views = {}
    for level in levels:
        own = tuple(f for f in features if not set(f.windows_s).isdisjoint(level.windows_s))
        selections = [
            Selection.of_chart(Chart(str(symbol), frame, level), is_selected)
            for (symbol,), frame in trades
        ]
        parts = _aggregate(selections, level, _used_by(own, aggregates), strict)
        frame = _evaluate_features(parts, own, aggregates, level)
        views[level.view] = frame.hstack(_context(parts["sec"]) if level is levels[0] else [])
    return views


def row_ends(ticks: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Every row of a level: symbol and sec (row end), sorted. Cheap, so useful for sampling."""
    sec = (pl.col("event_time_us") // (level.tile_s * SECOND_US) + 1) * level.tile_s
    return ticks.select(symbol=_symbol(), sec=sec).unique().sort("symbol", "sec")


def distinct_trades(ticks: pl.DataFrame) -> pl.DataFrame:
    """One tick per trade id and second, known since the arrival of its first copy.

    Of duplicates that contradict each other the largest value of each field counts. Where price ×
    size would then exceed the contract's largest notional, the size is reduced to fit.
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
        trades = slice(self._stops[at], self._stops[at + 1])
        price, time_us, seq = (self._of[name][trades] for name in ("price", "event_time_us", "seq"))
        last = (time_us == time_us[-1]) & (seq == seq[-1])
        return float(max(price[last].tolist(), key=str))

    def returns(self, at: int) -> float | None:
        """ln(close/previous close) of bar `at`; None without a previous bar."""
        return math.log(self.close(at) / self.close(at - 1)) if at > 0 else None

    def row(self, at: int) -> tuple[object, ...]:
        """The row columns of a definition, in the order of BAR."""
        trades = slice(self._stops[at], self._stops[at + 1])
        price, size, side = (self._of[name][trades] for name in ("price", "size", "side"))
        sums = (math.fsum(amounts.tolist()) for amounts in (size, price * size, side * size))
        returns = (self.returns(at), self.returns(at - 1))
        ends = (float(price.max()), float(price.min()), self.close(at), *returns)
        return (self.symbol, self.ends[at], len(price), int(side.sum()), *sums, *ends)


@dataclass(frozen=True)
class Selection:
    """The selected rows of one chart and all bars of their windows, as ascending positions."""

    chart: Chart
    rows: list[int]
    bars: list[int]

    @classmethod
    def of_chart(cls, chart: Chart, is_selected: Callable[[Key], bool]) -> "Selection":
        """The rows whose key is selected."""
        view, symbol = chart.level.view, chart.symbol
        rows = [at for at, sec in enumerate(chart.ends) if is_selected((view, symbol, sec))]
        spans = (range(chart.first(at, chart.level.window_max_s), at + 1) for at in rows)
        return cls(chart, rows, sorted(set().union(*spans)))


def _selector(only: Only) -> Callable[[Key], bool]:
    """Whether a row is to be computed."""
    if only is None:
        return lambda _: True
    if isinstance(only, range):
        return lambda key: key[2] in only
    return frozenset(only).__contains__


def _used_by(features: Iterable[Feature], aggregates: Iterable[Aggregate]) -> list[Aggregate]:
    names = names_in(*(text for f in features for text in (f.formula, f.null_if)))
    return [a for a in aggregates if a.name in names]


def _aggregate(
    selections: Sequence[Selection], level: Level, used: Sequence[Aggregate], strict: bool
) -> pl.DataFrame:
    """KEYS of the selected rows and, per window of the level, a column `<aggregate>_<window>`."""
    bars = _bars(selections)
    summands = evaluate(bars, {a.name: a.of for a in used if a.of})
    if strict:
        _require_summable(bars, summands, used)
    terms: Columns = summands.to_dict(as_series=False) | _counts(bars, summands, used)
    starts = accumulate((len(s.bars) for s in selections), initial=0)
    rows = chain.from_iterable(map(_rows, selections, starts, repeat(terms), repeat(used)))
    names = [f"{a.name}_{w}" for w in level.windows_s for a in used]
    return pl.DataFrame([*rows], KEYS | dict.fromkeys(names, pl.Float64()), orient="row")


def _bars(selections: Iterable[Selection]) -> pl.DataFrame:
    rows = [s.chart.row(at) for s in selections for at in s.bars]
    return pl.DataFrame(rows, BAR, orient="row")


def _counts(bars: pl.DataFrame, summands: pl.DataFrame, used: Iterable[Aggregate]) -> Columns:
    """What each bar adds to a count: 1 row, and the number of its summands that are too large.

    Also per sum that can overflow `<aggregate>:over`, 1 for a bar whose summand is too large.
    """
    too_large = {a: _too_large(bars, summands, a) for a in used if a.step and not a.always_fits}
    by_summand = {(a.of, a.step): flags for a, flags in too_large.items()}
    none = pl.zeros(len(bars), pl.Float64, eager=True)
    by_verb = {"rows": [1.0] * len(bars), "overflows": sum(by_summand.values(), none).to_list()}
    columns: Columns = {f"{a.name}:over": flags.to_list() for a, flags in too_large.items()}
    return columns | {a.name: by_verb[a.verb] for a in used if a.verb in COUNTS}


def _too_large(bars: pl.DataFrame, summands: pl.DataFrame, aggregate: Aggregate) -> pl.Series:
    """1 for each bar whose summand, or whose number of trades, is too large for an exact sum."""
    beyond = summands[aggregate.name].abs() > aggregate.summand_max
    return ((bars["n"] > TICKS_MAX) | beyond.fill_null(value=False)).cast(pl.Float64)


def _require_summable(bars: pl.DataFrame, terms: pl.DataFrame, used: Iterable[Aggregate]) -> None:
    for aggregate in used:
        if aggregate.of:
            summand = terms[aggregate.name].alias("summand")
            _require_finite(aggregate, bars.select("symbol", "sec", summand))


def _require_finite(aggregate: Aggregate, bars: pl.DataFrame) -> None:
    """Raise DefinitionError for the first bar whose `summand` the aggregate cannot hold."""
    summand, limit = pl.col("summand"), aggregate.summand_max
    wrong = bars.filter(~(summand.is_finite() & (summand.abs() <= limit)))  # NULL is none of them
    if wrong.is_empty():
        return
    symbol, sec, value = wrong.row(0)
    raise DefinitionError(
        f"aggregate {aggregate.name}: {aggregate.of} is {value:g} for {symbol}, row end {sec} s;"
        f" the limit is {limit:g}",
        "replace it by 0e0 there (CASE WHEN …), or choose a larger step"
        if aggregate.step
        else "make it NULL there (CASE WHEN …)",
    )


def _rows(
    selection: Selection, offset: int, terms: Columns, used: Sequence[Aggregate]
) -> Iterator[tuple[object, ...]]:
    """KEYS and aggregates of each selected row; its bars start at `offset` of the terms."""
    chart = selection.chart
    place = {at: i for i, at in enumerate(selection.bars, offset)}
    for at in selection.rows:
        sec, first = chart.ends[at], chart.first(at, chart.level.window_max_s)
        warm_s = min(sec - chart.ends[0], WARM_CAP_S)
        starts = [place[chart.first(at, window_s)] for window_s in chart.level.windows_s]
        values = (_compute(a, terms, slice(start, place[at] + 1)) for start in starts for a in used)
        yield (chart.symbol, sec, chart.known_at_us(first, at), warm_s, *values)


def _sum(terms: Terms) -> float:
    return math.fsum(_present(terms))


# Each verb as a function of a window's terms, oldest first. A missing summand counts as zero.
VERBS: dict[str, Callable[[Terms], float | None]] = {
    "rows": _sum,
    "overflows": _sum,
    "sum": _sum,
    "sum_inner": lambda terms: _sum(terms[1:]),
    "last": lambda terms: terms[-1],
    "max": lambda terms: max(_present(terms), default=None),
    "min": lambda terms: min(_present(terms), default=None),
}
COUNTS = ("rows", "overflows")  # verbs without a summand


def _compute(aggregate: Aggregate, terms: Columns, window: slice) -> float | None:
    """The aggregate over a window; None where a summand is too large for its sum."""
    if any(terms.get(f"{aggregate.name}:over", ())[window]):
        return None
    return VERBS[aggregate.verb](terms[aggregate.name][window])


def _present(terms: Terms) -> list[float]:
    return [term for term in terms if term is not None]


def _evaluate_features(
    parts: pl.DataFrame, features: Sequence[Feature], aggregates: Sequence[Aggregate], level: Level
) -> pl.DataFrame:
    """The formulas over the aggregates, in the column order of `contracts.features.columns`."""
    pairs = [(f, w) for w in level.windows_s for f in features if w in f.windows_s]
    formulas = {f"{f.name}_{LABELS[w]}": _formula(f, aggregates, w) for f, w in pairs}
    event_time_us = pl.col("sec").mul(SECOND_US).alias("event_time_us")
    keys = parts.select("symbol", event_time_us, "known_at_us", "warm_s")
    return keys.hstack(evaluate(parts, formulas))


def _context(secs: pl.Series) -> list[pl.Series]:
    """The time of day of each row end (seconds since 1970) as a point of a circle."""
    angles = [2 * math.pi * (sec % DAY_S) / DAY_S for sec in secs.to_list()]
    waves = zip(CONTEXT, (math.sin, math.cos), strict=True)
    return [pl.Series(name, map(wave, angles), pl.Float64) for name, wave in waves]


@cache
def _names(aggregates: tuple[Aggregate, ...], window_s: int) -> dict[str, str]:
    return {a.name: f"{a.name}_{window_s}" for a in aggregates} | CONSTANTS | {"w": f"{window_s}e0"}


def _formula(feature: Feature, aggregates: Sequence[Aggregate], window_s: int) -> str:
    names = _names(tuple(aggregates), window_s)
    conditions = filter(None, _null_conditions(feature, aggregates, window_s))
    cases = [f"WHEN {null} THEN NULL" for null in conditions]
    return f"CASE {' '.join(cases)} ELSE {feature.formula.format_map(names)} END"


def _null_conditions(
    feature: Feature, aggregates: Iterable[Aggregate], window_s: int
) -> tuple[str, ...]:
    names = _names(tuple(aggregates), window_s)
    used = _used_by((feature,), aggregates)
    overflow = (f"{names[a.name]} IS NULL" for a in used if a.step)
    return (f"warm_s < {window_s}", *overflow, feature.null_if.format_map(names))
