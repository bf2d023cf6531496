"""THE feature definitions, as data. Flink SQL (stream and batch), the Feast schema, the read plan
and the training columns derive from them.

A formula is an expression over the window aggregates below, in braces. It is evaluated in double
precision at the end of each window. The sums in it are exact; where a sum would not fit, the
feature is NULL and `overflows` counts the reason.

To add a feature, follow docs/adding-a-feature.md.
"""

import math
import re
from dataclasses import dataclass
from itertools import product

from contracts.tick import PRICE_MAX, PRICE_MIN
from contracts.windows import LABELS, LEVELS, Level

# Largest summand of a window, in multiples of its `step`: 90 of them, the most rows a window has,
# stay below 2^63.
SUMMAND_STEPS_MAX = 1e17
# Most ticks of a tile or bar whose sums fit 64 bits: each adds at most 1e12 to an integer sum.
TICKS_MAX = 9_000_000
# Largest absolute return between two prices of the contract.
RETURN_MAX = math.log(PRICE_MAX / PRICE_MIN)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A mergeable part of a window: `verb` applied to the row expression `of`.

    A sum is exact: each summand is split into two integers, multiples of `step` and of 1e-17
    `step`, which add up without rounding for up to 90 rows (the most a window has). `step=None`:
    the summand already is an integer. A summand above 1e17 `step` could overflow 64 bits, and so
    could the amounts of a bar with more than 9,000,000 trades: while one is in the window, every
    feature over that sum is NULL. Sums that always fit (`always_fits`) need no such check.

    Row columns: n trades, v volume, pv notional, sv signed volume, s sum of signs, high, low,
    close_price, r = ln(close/previous close), r1 = the r of the previous row. Verbs: sum (exact),
    sum_inner (exact, without the oldest row: for pairs of neighbouring rows), last (this row), max,
    min, rows (row count), overflows (number of summands in the window that are too large for their
    exact sum).
    """

    name: str
    verb: str
    of: str = ""
    step: float | None = None

    @property
    def summand_max(self) -> float:
        """Largest absolute summand of an exact sum, in units of `of`; infinite without `step`."""
        return float("inf") if self.step is None else float(f"{SUMMAND_STEPS_MAX * self.step:.0e}")

    @property
    def always_fits(self) -> bool:
        """Whether no valid tick can make a summand too large: a product of returns, which prices
        within the contract bound.
        """
        returns = re.findall(r"\br1?\b", self.of)
        is_product = re.sub(r"\b(r1?|ABS)\b|[ ()*]", "", self.of) == ""
        return is_product and RETURN_MAX ** len(returns) <= self.summand_max


AGGREGATES = (
    Aggregate("rows", "rows"),
    Aggregate("overflows", "overflows"),
    Aggregate("n", "sum", "n"),
    Aggregate("s", "sum", "s"),
    Aggregate("v", "sum", "v", 1e-4),
    Aggregate("pv", "sum", "pv", 1e-2),
    Aggregate("sv", "sum", "sv", 1e-4),
    Aggregate("high", "max", "high"),
    Aggregate("low", "min", "low"),
    Aggregate("close", "last", "close_price"),
    Aggregate("r", "sum", "r", 1e-12),
    Aggregate("r2", "sum", "r * r", 1e-13),
    Aggregate("r_in", "sum_inner", "r", 1e-12),
    Aggregate("r1_in", "sum_inner", "r1", 1e-12),
    Aggregate("rr_in", "sum_inner", "r * r1", 1e-13),
    Aggregate("rr_abs_in", "sum_inner", "ABS(r * r1)", 1e-13),
    Aggregate("illiq", "sum", "ABS(r) / pv", 1e-9),
    Aggregate("r_sv", "sum", "r * sv", 1e-7),
    # One trade of 1e9 among trades of 1e-5: their squares span 28 digits, hence two sums.
    Aggregate("sv2_small", "sum", "CASE WHEN ABS(sv) < 1e4 THEN sv * sv ELSE 0e0 END", 1e-9),
    Aggregate("sv2_large", "sum", "CASE WHEN ABS(sv) < 1e4 THEN 0e0 ELSE sv * sv END", 1e8),
)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: `formula` over aggregates, NULL where `null_if` holds, per window of
    `windows_s`.

    `windows_s` is in seconds. Below `scale` a difference does not matter: stream, batch and
    reference agree within 1e-9·max(|x|, scale). `core` lists the windows (seconds) that feed the
    model.
    """

    name: str
    formula: str
    unit: str
    scale: float
    null_if: str = ""
    source: str = ""
    core: tuple[int, ...] = ()
    windows_s: tuple[int, ...] = tuple(w for level in LEVELS for w in level.windows_s)


_COV_KYLE = "({r_sv} - {r} * {sv} / {rows})"
_VAR_KYLE = "({sv2_small} + {sv2_large} - {sv} * {sv} / {rows})"
_COV_ROLL = "({rr_in} - {r_in} * {r1_in} / ({rows} - 1)) / ({rows} - 1)"
_VAR_ROLL = "({r2} - {r} * {r} / {rows}) / {rows}"

# fmt: off
FEATURES = (
    Feature("log_return", "{r}", "log", 1e-5, core=(60, 300, 900, 3600)),
    Feature("realized_vol", "SQRT({r2})", "log", 1e-6, "{rows} < 2",
            "Andersen & Bollerslev 1998", (60, 900)),
    Feature("realized_vol_ann", "SQRT({r2} * {year_s} / {w})", "log/√year", 1e-3, "{rows} < 2",
            "Andersen & Bollerslev 1998"),
    Feature("bipower_vol", "SQRT({pi} / 2 * {rr_abs_in})", "log", 1e-6, "{rows} < 3",
            "Barndorff-Nielsen & Shephard 2004", (300,)),
    Feature("vwap_dev", "{close} / ({pv} / {v}) - 1", "fraction", 1e-4, "{v} = 0", core=(60,)),
    Feature("volume", "{v}", "base", 1e-3, core=(60,)),
    Feature("notional", "{pv}", "quote", 1e-3),
    Feature("trade_count", "{n}", "1", 1.0, core=(60,)),
    Feature("trade_rate", "{n} / {w}", "1/s", 1e-3),
    Feature("avg_size", "{v} / {n}", "base", 1e-3, "{n} = 0", core=(60,)),
    Feature("flow_imbalance", "{sv} / {v}", "[-1,1]", 1e-3, "{v} = 0",
            "Chordia, Roll & Subrahmanyam 2002", (60, 300, 900)),
    Feature("count_imbalance", "{s} / {n}", "[-1,1]", 1e-3, "{n} = 0",
            "Chordia, Roll & Subrahmanyam 2002", (60,)),
    Feature("amihud", "{illiq} / {rows} * 1e6", "1/quote", 1e-6, "", "Amihud 2002", (3600,)),
    Feature("kyle_lambda", f"{_COV_KYLE} / {_VAR_KYLE}", "log/base", 1e-6,
            f"{{rows}} < 10 OR {_VAR_KYLE} <= 1e-6 * ({{sv2_small}} + {{sv2_large}})",
            "Kyle 1985", (3600,)),
    Feature("parkinson", "LN({high} / {low}) * LN({high} / {low}) / (4 * {ln2})", "log²", 1e-10,
            "", "Parkinson 1980", (900,)),
    Feature("range", "LN({high} / {low})", "log", 1e-5),
    Feature("roll_spread", f"2e4 * SQRT(-{_COV_ROLL})", "bps", 1e-2,
            f"{{rows}} < 3 OR {_VAR_ROLL} <= 1e-6 * {{r2}} / {{rows}}"
            f" OR {_COV_ROLL} > -1e-6 * {_VAR_ROLL}", "Roll 1984"),
    # Explains a NULL of a warm feature of this view. The longest window contains all others.
    Feature("overflows", "{overflows}", "1", 1.0,
            windows_s=tuple(level.window_max_s for level in LEVELS)),
)
# fmt: on

# Per view, the column that counts the summands too large for the sums of its rows.
OVERFLOWS = {level.view: f"overflows_{LABELS[level.window_max_s]}" for level in LEVELS}

# Context columns of the 1 s level: they depend only on the time of the row.
CONTEXT = ("hour_sin", "hour_cos")


@dataclass(frozen=True, slots=True)
class Column:
    """A published column: one feature at one window, such as `flow_imbalance_5m` of `tick_10s`."""

    name: str
    view: str
    unit: str
    scale: float
    core: bool
    window_s: int


def columns(level: Level) -> tuple[Column, ...]:
    """Published feature columns of one level, in the order every consumer uses."""
    published = [
        Column(f"{f.name}_{LABELS[w]}", level.view, f.unit, f.scale, w in f.core, w)
        for w, f in product(level.windows_s, FEATURES)
        if w in f.windows_s
    ]
    if level is LEVELS[0]:
        published += [Column(name, level.view, "1", 1.0, True, 0) for name in CONTEXT]
    return tuple(published)


COLUMNS = tuple(column for level in LEVELS for column in columns(level))
CORE = tuple(column.name for column in COLUMNS if column.core)
