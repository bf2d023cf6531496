"""The independent oracle: every feature of docs/features.md, so simple that reading checks it.

It computes from plain lists of ticks, without incremental sums and without code shared with the
product: each window is recomputed from scratch, in the words of the formula.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

LADDER = {"tick_1s": (1, (10, 60)), "tick_10s": (10, (300, 900)), "tick_1m": (60, (3600,))}
LABEL = {10: "10s", 60: "1m", 300: "5m", 900: "15m", 3600: "1h"}
YEAR_S = 31_536_000
NOTIONAL_MAX = 1e15
# Largest summand of an exact 64-bit sum; features over a sum with a larger one are NULL. Returns
# are left out: only a price jump by e^31 would be too large for their sums.
SUMMAND_MAX = {"v": 1e13, "pv": 1e15, "sv": 1e13, "illiq": 1e8, "r_sv": 1e10, "sv2": 1e25}
SUMS = {
    "vwap_dev": ("v", "pv"),
    "volume": ("v",),
    "notional": ("pv",),
    "avg_size": ("v",),
    "flow_imbalance": ("v", "sv"),
    "amihud": ("illiq",),
    "kyle_lambda": ("sv", "r_sv", "sv2"),
}


class Bar(NamedTuple):
    end: int
    n: int
    s: int
    v: Fraction
    pv: Fraction
    sv: Fraction
    high: float
    low: float
    close: float
    known_at_us: int


def distinct(ticks):
    """One tick per trade id and second, known since its first arrival.

    Contradicting duplicates count as the largest of each field; the size is reduced where price ×
    size would then exceed the largest notional.
    """
    groups = defaultdict(list)
    for tick in ticks:
        groups[tick.trade_id, tick.event_time_us // 1_000_000].append(tick)
    largest = ("price", "size", "side", "seq", "event_time_us")
    merged = [
        duplicates[0]._replace(
            **{name: max(getattr(t, name) for t in duplicates) for name in largest},
            ingest_time_us=min(t.ingest_time_us for t in duplicates),
        )
        for duplicates in groups.values()
    ]
    return [
        t._replace(size=NOTIONAL_MAX / t.price) if t.price * t.size > NOTIONAL_MAX else t
        for t in merged
    ]


def bars(ticks: Iterable, seconds: int) -> list[Bar]:
    """Non-empty bars of one symbol, by end time in seconds."""
    groups = defaultdict(list)
    for tick in ticks:
        groups[tick.event_time_us // (1_000_000 * seconds)].append(tick)
    result = []
    for number, group in sorted(groups.items()):
        last = max(group, key=lambda t: (t.event_time_us, t.seq))
        result.append(
            Bar(
                end=(number + 1) * seconds,
                n=len(group),
                s=sum(t.side for t in group),
                v=sum(Fraction(t.size) for t in group),
                pv=sum(Fraction(t.price) * Fraction(t.size) for t in group),
                sv=sum(t.side * Fraction(t.size) for t in group),
                high=max(t.price for t in group),
                low=min(t.price for t in group),
                close=last.price,
                known_at_us=max(t.ingest_time_us for t in group),
            )
        )
    return result


def rows(ticks: Sequence) -> dict[tuple[str, int], dict[str, float | None]]:
    """(view, row end in seconds) → every column of that row. Quadratic on purpose."""
    result = {}
    ticks = distinct(ticks)
    for view, (seconds, windows) in LADDER.items():
        all_bars = bars(ticks, seconds)
        for i, bar in enumerate(all_bars):
            warm_s = min(bar.end - all_bars[0].end, 3600)
            row = {"warm_s": warm_s}
            for w in windows:
                first = next(j for j, b in enumerate(all_bars) if b.end > bar.end - w)
                inside = all_bars[first : i + 1]
                returns = (
                    [
                        math.log(b.close / a.close)
                        for a, b in zip(all_bars[first - 1 :], inside, strict=False)
                    ]
                    if first
                    else []
                )
                before = all_bars[first - 1].close if first else None
                values = (
                    features(inside, returns, before, w) if warm_s >= w else dict.fromkeys(NAMES)
                )
                if w != windows[-1]:
                    values = {name: value for name, value in values.items() if name != "overflows"}
                row |= {f"{name}_{LABEL[w]}": value for name, value in values.items()}
            row["known_at_us"] = max(
                b.known_at_us for b in all_bars[: i + 1] if b.end > bar.end - windows[-1]
            )
            if view == "tick_1s":
                angle = 2 * math.pi * (bar.end % 86400) / 86400
                row |= {"hour_sin": math.sin(angle), "hour_cos": math.cos(angle)}
            result[view, bar.end] = row
    return result


def _sum(values) -> float:
    return math.fsum(values)


def _cov(x, y) -> float:
    """Population covariance, two passes, exact arithmetic."""
    x, y = [Fraction(a) for a in x], [Fraction(b) for b in y]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return float(sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / len(x))


def features(inside, returns, before, w):
    """All windowed features.

    `returns` has one return per row of `inside`, `before` is the close as of the window's start.
    """
    n = sum(b.n for b in inside)
    v, pv, sv = (sum(getattr(b, name) for b in inside) for name in ("v", "pv", "sv"))
    close = inside[-1].close
    high, low = max(b.high for b in inside), min(b.low for b in inside)
    rows_count = len(inside)
    squares = _sum(r * r for r in returns)
    pairs = list(zip(returns, returns[1:], strict=False))
    flows = [float(b.sv) for b in inside]
    too_large = _too_large(inside, returns)
    values = {
        "log_return": math.log(close / before),
        "realized_vol": math.sqrt(squares) if rows_count >= 2 else None,
        "realized_vol_ann": math.sqrt(squares * YEAR_S / w) if rows_count >= 2 else None,
        "bipower_vol": math.sqrt(math.pi / 2 * _sum(abs(a) * abs(b) for a, b in pairs))
        if rows_count >= 3
        else None,
        "vwap_dev": float(Fraction(close) / (pv / v) - 1),
        "volume": float(v),
        "notional": float(pv),
        "trade_count": n,
        "trade_rate": n / w,
        "avg_size": float(v / n),
        "flow_imbalance": float(sv / v),
        "count_imbalance": sum(b.s for b in inside) / n,
        "amihud": _sum(abs(r) / float(b.pv) for r, b in zip(returns, inside, strict=True))
        / rows_count
        * 1e6,
        "kyle_lambda": _kyle(returns, flows),
        "parkinson": math.log(high / low) ** 2 / (4 * math.log(2)),
        "range": math.log(high / low),
        "roll_spread": _roll(returns, pairs),
    }
    lost = {name for name, sums in SUMS.items() if any(too_large[part] for part in sums)}
    values |= dict.fromkeys(lost)
    return values | {"overflows": sum(too_large.values())}


def _too_large(inside, returns):
    """Per exact sum, the rows of the window whose summand is too large for it."""
    counts = dict.fromkeys(SUMMAND_MAX, 0)
    for b, r in zip(inside, returns, strict=True):
        sv = float(b.sv)
        of = {"v": b.v, "pv": b.pv, "sv": sv, "illiq": abs(r) / float(b.pv)}
        of |= {"r_sv": r * sv, "sv2": sv**2}
        for name, summand in of.items():
            counts[name] += abs(summand) > SUMMAND_MAX[name]
    return counts


def _kyle(returns, flows):
    if len(flows) < 10 or _cov(flows, flows) <= 1e-6 * float(
        sum(Fraction(f) ** 2 for f in flows)
    ) / len(flows):
        return None
    return _cov(returns, flows) / _cov(flows, flows)


def _roll(returns, pairs):
    if len(returns) < 3 or _cov(returns, returns) <= 1e-6 * _sum(r * r for r in returns) / len(
        returns
    ):
        return None
    cov = _cov([b for _, b in pairs], [a for a, _ in pairs])
    return None if cov > -1e-6 * _cov(returns, returns) else 2e4 * math.sqrt(-cov)


NAMES = tuple(
    features(
        [Bar(1, 1, 1, Fraction(1), Fraction(1), Fraction(1), 1.0, 1.0, 1.0, 0)] * 2,
        [0.0, 0.0],
        1.0,
        10,
    )
)
