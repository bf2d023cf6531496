"""Renders the feature definitions as Flink SQL: the same views for the stream and for a batch.

The views build on each other: `windowed_ticks` → 1 s tiles → bars → per level: previous closes,
terms, windows, rows (`tiles` explains the columns). The modes differ only in what orders rows in
time (a time attribute or whole seconds), how a time range is written, and how `tiles` cuts it.

A BIGINT sum that exceeds 64 bits wraps silently; it is exact modulo 2^64, hence correct again once
the large summand has left the window. Each row therefore counts its summands that are too large, in
one base-128 digit per sum that can overflow, and each window adds up these counters. A feature is
NULL while a digit of its sums is not zero.
"""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

from contracts.features import AGGREGATES, COLUMNS, FEATURES, TICKS_MAX, Aggregate, Feature, columns
from contracts.windows import LABELS, LEVELS, WARM_CAP_S, Level, level_of
from feature_store.sql import tiles
from feature_store.sql.tiles import PARTS, Mode, SqlView

YEAR_S = 31_536_000  # crypto trades around the clock
SESSION_YEAR_S = 252 * 23 * 3600  # CME: 252 sessions of 23 hours
CONSTANTS = {
    "pi": f"{math.pi!r}e0",  # a double literal: a decimal would be converted for every row
    "ln2": f"{math.log(2)!r}e0",
    "year_s": f"CASE WHEN symbol LIKE 'CME:%' THEN {SESSION_YEAR_S}e0 ELSE {YEAR_S}e0 END",
}
_ANGLE = f"2 * {CONSTANTS['pi']} * MOD(sec, 86400) / 86400e0"
TIME_OF_DAY = [f"SIN({_ANGLE}) AS hour_sin", f"COS({_ANGLE}) AS hour_cos"]
SUM = "`$SUM0`"  # for columns that are never NULL; SUM would also keep a count for each sum
FINE = 1e17  # the fine limb counts 1e-17 of the coarse one: 90 of them stay below 2^63
DIGIT, DIGITS = 128, 9  # base and digits of an overflow counter: up to 127 rows each, 9 fit 63 bits
BASE = f"symbol, sec, wt, n, {', '.join(PARTS)}"


def to_pairs(views: Iterable[SqlView]) -> tuple[tuple[str, str], ...]:
    """Views as (name, SELECT) pairs for `feature_store.flink.program.Program`."""
    return tuple((view.name, view.select) for view in views)


def ladder(mode: Mode, *, duplicates: bool = True) -> tuple[SqlView, ...]:
    """All views on `windowed_ticks`, up to `rows_<view>`; a batch without `duplicates` is much
    faster.

    In a batch `windowed_ticks` has the WHO and TRADE columns of `tiles`; on the stream its rows
    come from `tiles.tile_input`.
    """
    lowest = tiles.stream() if mode == "stream" else tiles.batch(duplicates=duplicates)
    bars = (tiles.bars(mode, lower, level) for lower, level in pairwise(LEVELS))
    of_levels = chain.from_iterable(_level_views(level, mode) for level in LEVELS)
    return (*lowest, *bars, *of_levels)


def _level_views(level: Level, mode: Mode) -> tuple[SqlView, ...]:
    windows = (window(level, index, mode) for index in range(len(level.windows_s)))
    return (previous_closes(level), terms(level), *windows, rows(level))


def previous_closes(level: Level) -> SqlView:
    """Adds the two previous closes and the end of the symbol's first row."""
    over = "OVER (PARTITION BY symbol ORDER BY wt)"
    lags = ", ".join(f"LAG(close_price, {i}) {over} AS close_price{i}" for i in (1, 2))
    return SqlView(
        f"closes_{level.view}",
        f"SELECT {BASE}, {lags}, MIN(sec) {over} AS first_sec FROM base_{level.view}",
    )


def terms(level: Level) -> SqlView:
    """The summands of every aggregate of this level, quantised so that rolling sums are exact."""
    inner = (
        f"SELECT {BASE}, first_sec, LN(close_price / close_price1) AS r, LN(close_price1 /"
        f" close_price2) AS r1 FROM closes_{level.view}"
    )
    summands = dict.fromkeys(_term(a) for a in _used(level) if a.of)
    oldest = (
        "CAST(ROW(COALESCE(r, 0e0), COALESCE(r1, 0e0)) AS ROW<r DOUBLE, r1 DOUBLE>) AS x_oldest"
    )
    select_list = ", ".join((*summands, *_overflow_counters(level), oldest))
    return SqlView(
        f"terms_{level.view}",
        f"SELECT symbol, sec, wt, known_at_us, first_sec, {select_list} FROM ({inner})",
    )


def window(level: Level, index: int, mode: Mode) -> SqlView:
    """The aggregates of one window of a level, next to all columns of the windows before it."""
    w = level.windows_s[index]
    sources = (f"terms_{level.view}", *(_window_view(level, each) for each in level.windows_s))
    sums = ", ".join(_over(a, w) for a in _used(level) if a.verb not in ("last", "overflows"))
    counters = range(-(-len(_sums_at_risk(level)) // DIGITS))
    sums += "".join(f", {SUM}(x_{c}_over) OVER w AS x_{c}_over_{w}" for c in counters)
    known = ", MAX(known_at_us) OVER w AS known_w" if w == level.window_max_s else ""
    between = f"RANGE BETWEEN {_range(w - level.tile_s, mode)} PRECEDING AND CURRENT ROW"
    frame = f"WINDOW w AS (PARTITION BY symbol ORDER BY wt {between})"
    return SqlView(_window_view(level, w), f"SELECT *, {sums}{known} FROM {sources[index]} {frame}")


def _window_view(level: Level, w: int) -> str:
    return f"win_{level.view}_{LABELS[w]}"


def rows(level: Level) -> SqlView:
    """The published rows of a level: keys, known_at_us, warm_s and every feature column."""
    features = [
        f"{_formula(f, w)} AS {f.name}_{LABELS[w]}"
        for w in level.windows_s
        for f in FEATURES
        if w in f.windows_s
    ]
    features += TIME_OF_DAY if level is LEVELS[0] else []
    source = _window_view(level, level.window_max_s)
    warm = f"SELECT *, LEAST(sec - first_sec, {WARM_CAP_S}) AS warm_s FROM {source}"
    return SqlView(
        f"rows_{level.view}",
        "SELECT symbol, sec, known_w AS known_at_us, warm_s,\n "
        f" {(',' + chr(10) + '  ').join(features)}\nFROM ({warm})",
    )


def union_rows() -> str:
    """One SELECT over all levels in the column order of the gold tables.

    A column is NULL where a level does not have it.
    """
    return "\nUNION ALL ".join(map(_select_rows, LEVELS))


def _select_rows(level: Level) -> str:
    own = {column.name for column in columns(level)}
    every = ", ".join(
        c.name if c.name in own else f"CAST(NULL AS DOUBLE) AS {c.name}" for c in COLUMNS
    )
    keys = (
        f"'{level.view}' AS `view`, symbol, TO_TIMESTAMP_LTZ(sec * 1000, 3) AS event_time,"
        " known_at_us, warm_s"
    )
    return f"SELECT {keys}, {every} FROM rows_{level.view}"


def _range(seconds: int, mode: Mode) -> str:
    if mode == "batch":
        return str(seconds)
    days, rest = divmod(seconds, 86400)
    return f"INTERVAL '{days} {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}' DAY TO SECOND"


def _used(level: Level) -> tuple[Aggregate, ...]:
    """Aggregates that some feature of this level names."""
    own = (f for f in FEATURES if not set(f.windows_s).isdisjoint(level.windows_s))
    return _aggregates_in(" ".join(f.formula + f.null_if for f in own))


def _aggregates_in(text: str) -> tuple[Aggregate, ...]:
    return tuple(a for a in AGGREGATES if f"{{{a.name}}}" in text)


def _sums_at_risk(level: Level) -> dict[str, Aggregate]:
    """The exact sums of a level that can overflow, by the stem of their summand, in the order of
    their digits.
    """
    return {_summand(a): a for a in _used(level) if a.step is not None and not a.always_fits}


def _overflow_counters(level: Level) -> list[str]:
    """Columns `x_<c>_over`: a digit is 1 where its summand is too large.

    All digits are 1 where the bar holds too many ticks for its own sums.
    """
    at_risk = list(_sums_at_risk(level).values())
    starts = range(0, len(at_risk), DIGITS)
    return [_overflow_counter(c, at_risk[at : at + DIGITS]) for c, at in enumerate(starts)]


def _overflow_counter(number: int, sums: Sequence[Aggregate]) -> str:
    digits = " + ".join(
        f"CASE WHEN ABS({a.of}) > {a.summand_max:.0e} THEN {DIGIT**i} ELSE 0 END"
        for i, a in enumerate(sums)
    )
    every = sum(DIGIT**i for i in range(len(sums)))
    counter = f"CASE WHEN n > {TICKS_MAX} THEN {every} ELSE {digits} END"
    return f"CAST({counter} AS BIGINT) AS x_{number}_over"


def _digits(level: Level, w: int, aggregates: Iterable[Aggregate]) -> dict[str, list[str]]:
    """By counter of window `w`: the expressions for the digits of these sums."""
    stems = {_summand(a) for a in aggregates}
    digits: dict[str, list[str]] = {}
    for position, stem in enumerate(_sums_at_risk(level)):
        c, i = divmod(position, DIGITS)
        if stem in stems:
            counter = f"x_{c}_over_{w}"
            digits.setdefault(counter, []).append(f"MOD({counter} / {DIGIT**i}, {DIGIT})")
    return digits


# The oldest row's returns. FIRST_VALUE skips NULL, hence the zeros; such a row is never inside a
# warm window.
OLDEST = {"r": "(FIRST_VALUE(x_oldest) OVER w).r", "r1": "(FIRST_VALUE(x_oldest) OVER w).r1"}


def _two_limbs(expression: str, step: float) -> tuple[str, str]:
    """A double as two integers: multiples of `step`, and of 1e-17 `step`."""
    scaled = f"({expression}) * {1 / step:.0e}"
    return (
        f"CAST({scaled} AS BIGINT)",
        f"CAST(({scaled} - CAST({scaled} AS BIGINT)) * {FINE:.0e} AS BIGINT)",
    )


def _summand(aggregate: Aggregate) -> str:
    """The column that an aggregate reads, or the stem of its limbs.

    Aggregates of the same term share them.
    """
    if aggregate.step is None:
        return f"x_{aggregate.name}"
    return next(
        f"x_{a.name}" for a in AGGREGATES if (a.of, a.step) == (aggregate.of, aggregate.step)
    )


def _term(aggregate: Aggregate) -> str:
    """The summand columns: one or two integer limbs, never NULL; other verbs take the raw value."""
    name = _summand(aggregate)
    if aggregate.step is None:
        value = f"COALESCE({aggregate.of}, 0)" if aggregate.verb == "sum" else aggregate.of
        return f"{value} AS {name}"
    hi, lo = _two_limbs(aggregate.of, aggregate.step)
    return f"COALESCE({hi}, 0) AS {name}_hi, COALESCE({lo}, 0) AS {name}_lo"


def _over(aggregate: Aggregate, w: int) -> str:
    """One aggregate over window `w`, as a double; subtractions happen before, on exact integers."""
    name, x = f"{aggregate.name}_{w}", _summand(aggregate)
    calls = {"rows": "COUNT(*)", "sum": f"{SUM}({x})", "max": f"MAX({x})", "min": f"MIN({x})"}
    if aggregate.step is None:
        return f"CAST({calls[aggregate.verb]} OVER w AS DOUBLE) AS {name}"
    oldest = re.sub(r"\br1?\b", lambda match: f"({OLDEST[match[0]]})", aggregate.of)
    firsts = _two_limbs(oldest, aggregate.step) if aggregate.verb == "sum_inner" else ("0", "0")
    hi, lo = (
        f"CAST({SUM}({x}_{limb}) OVER w - {first} AS DOUBLE)"
        for limb, first in zip(("hi", "lo"), firsts, strict=True)
    )
    return f"({hi} + {lo} * {1 / FINE:.0e}) * {aggregate.step:.0e} AS {name}"


def _formula(feature: Feature, w: int) -> str:
    names = _names(w)
    null_if = f" OR {feature.null_if.format_map(names)}" if feature.null_if else ""
    return (
        f"CASE WHEN warm_s < {w}{null_if}{_sums_overflow(feature, w)} THEN CAST(NULL AS DOUBLE)"
        f" ELSE {feature.formula.format_map(names)} END"
    )


def _names(w: int) -> dict[str, str]:
    """By the name in a formula: the expression for it over the columns of window `w`."""
    names = {a.name: f"x_{a.name}" if a.verb == "last" else f"{a.name}_{w}" for a in AGGREGATES}
    return names | CONSTANTS | {"w": f"{w}e0"} | _overflows(level_of(w), w)


def _sums_overflow(feature: Feature, w: int) -> str:
    """Conditions, each after OR: the digits of the sums that a formula uses are not zero."""
    used = _aggregates_in(feature.formula + feature.null_if)
    # The counter first: it is almost always 0, and then the digits are not evaluated.
    return "".join(
        f" OR ({counter} > 0 AND ({' OR '.join(f'{digit} > 0' for digit in digits)}))"
        for counter, digits in _digits(level_of(w), w, used).items()
    )


def _overflows(level: Level, w: int) -> dict[str, str]:
    """The aggregates that count overflows, as the sum of all digits."""
    digits = _digits(level, w, _sums_at_risk(level).values())
    none = " AND ".join(f"{counter} = 0" for counter in digits)
    total = " + ".join(chain.from_iterable(digits.values()))
    count = f"CASE WHEN {none} THEN 0e0 ELSE CAST({total} AS DOUBLE) END"
    return {a.name: count for a in AGGREGATES if a.verb == "overflows"}
