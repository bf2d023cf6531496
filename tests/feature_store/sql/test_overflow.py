"""Sums beyond 64 bits: a feature over one is NULL and counted, never a wrapped number.

The reference implementation and the rendered batch SQL are compared with the hand-written oracle
and with exact fractions; tests/integration/test_parity.py compares Flink, stream and batch, with
that oracle on these markets.
"""

import math
from fractions import Fraction
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import features, tick
from contracts.features import (
    AGGREGATES,
    FEATURES,
    OVERFLOWS,
    SUMMAND_STEPS_MAX,
    TICKS_MAX,
    Aggregate,
    Feature,
)
from contracts.messages.encoding import encode
from contracts.messages.parsing import parse
from contracts.tick import Tick
from contracts.windows import LEVELS
from feature_store.definition import reference
from feature_store.definition.expressions import evaluate
from feature_store.sql import tiles, windows
from tests.feature_store.definition.test_reference import (
    CHARACTERS,
    START_US,
    assert_same,
    frame_of,
    stream,
)
from tests.support import batch_sql, oracle
from tests.support.streams import HUGE, huge_ticks

LONG_MAX = 2**63 - 1
ROWS_MAX = max(w // level.tile_s for level in LEVELS for w in level.windows_s)
HOUR = LEVELS[-1]
SUMS = tuple(a for a in AGGREGATES if a.step is not None)
AT_RISK = tuple(a for a in SUMS if not a.always_fits)
# Every exact sum as a separate feature: the sum over its window, or NULL.
LINES = tuple(Feature(f"sum_{a.name}", f"{{{a.name}}}", "1", 1.0, windows_s=(3600,)) for a in SUMS)


def minutes(amounts: list[tuple[float, float, int]], a_minute: int = 1) -> list[Tick]:
    """One or several ticks a minute: price, size, side."""
    ticks_ = []
    for i, (price, size, side) in enumerate(amounts):
        us = START_US + i * 60_000_000 // a_minute
        ticks_.append(Tick("T", "X", us, us, price, size, side, str(i), i))
    return ticks_


def last_row(ticks: list[Tick], lines: tuple[Feature, ...]) -> dict:
    return reference.features(frame_of(ticks), lines, levels=(HOUR,))[HOUR.view].row(-1, named=True)


def rising(size: float, a_minute: int = 1) -> list[Tick]:
    """More than an hour in which each minute rises by 0.3 %, in purchases of this size."""
    steps = (i // a_minute for i in range(62 * a_minute))
    return minutes([(1e-5 * math.exp(0.003 * step), size, 1) for step in steps], a_minute)


def test_an_hour_of_a_meme_coin_fits():
    """60 rows of r = 0.3 % and sv = 7e10 sum to 1.26e10, which once was computed as -5.8e9."""
    row = last_row(rising(7e10), (*LINES, *FEATURES))
    assert row["sum_r_sv_1h"] == pytest.approx(60 * 0.003 * 7e10, rel=1e-9)
    assert row["overflows_1h"] == 0


def test_what_does_not_fit_is_null_and_counted():
    """A hundred times as much: products and squares do not fit, but the volume does."""
    row = last_row(rising(7e11, a_minute=10), (*LINES, *FEATURES))
    assert row["sum_r_sv_1h"] is row["sum_sv2_large_1h"] is row["kyle_lambda_1h"] is None
    assert row["overflows_1h"] == 2 * 60
    assert row["volume_1h"] == pytest.approx(60 * 7e12)
    assert row["log_return_1h"] == pytest.approx(60 * 0.003)


def test_the_null_ends_with_the_window_of_the_large_summand():
    amounts = [(1.0 + i % 3 / 100, 1.0 + i % 2, 1) for i in range(130)]
    ticks = minutes([(100.0, 1e12, 1) if i == 61 else amount for i, amount in enumerate(amounts)])
    frame = reference.features(frame_of(ticks))[HOUR.view]
    wrong = (frame["overflows_1h"] > 0).fill_null(value=False)
    assert wrong.arg_true().to_list() == list(range(61, 61 + 60))
    warm = frame.filter(frame["warm_s"] >= 3600, ~wrong)
    assert warm["kyle_lambda_1h"].null_count() == 0 and warm["volume_1h"].max() < 200


@pytest.mark.parametrize("name", HUGE)
def test_reference_is_the_oracle_where_sums_do_not_fit(name):
    ticks = [ticks_ for _, ticks_ in huge_ticks(HUGE[name], name, START_US)]
    assert all(isinstance(parse(encode(ticks_), START_US + 10**13), Tick) for ticks_ in ticks)
    assert_same(reference.features(frame_of(ticks)), {name: ticks})
    rows = oracle.rows(ticks).values()
    counts = [row.get(column) for row in rows for column in OVERFLOWS.values()]
    assert any(counts) == (name not in ("MEME", "TWICE"))


@pytest.mark.parametrize("name", HUGE)
def test_the_sql_is_the_oracle_where_sums_do_not_fit(name):
    ticks = [ticks_ for _, ticks_ in huge_ticks(HUGE[name], name, START_US)]
    for duplicates in (True,) if HUGE[name].contradicted else (True, False):
        assert_same(batch_sql.rows(ticks, duplicates=duplicates), {name: ticks})


@pytest.mark.parametrize("character", CHARACTERS, ids=lambda c: f"price {c.price:g}")
def test_the_sql_is_the_oracle_on_ordinary_markets(character):
    ticks = stream(character)
    assert_same(batch_sql.rows(ticks, duplicates=True), {"A": ticks})


def test_no_sum_of_a_tile_or_bar_leaves_64_bits():
    """At the contract's limits: TICKS_MAX of the largest ticks, in each limb."""
    for name, largest in {"v": tick.SIZE_MAX, "pv": tick.NOTIONAL_MAX, "sv": tick.SIZE_MAX}.items():
        assert largest * float(f"{1 / tiles.STEPS[name]:.0e}") <= tiles.LIMB_MAX
    assert TICKS_MAX * int(tiles.LIMB_MAX) <= LONG_MAX


def test_no_sum_of_a_window_leaves_64_bits():
    """A full window of rows at the limit in both limbs, and as many overflows per digit."""
    rounding = 16  # spacing of doubles at 1e17
    assert ROWS_MAX * (int(SUMMAND_STEPS_MAX) + rounding) <= LONG_MAX
    assert ROWS_MAX * (int(windows.FINE) + rounding) <= LONG_MAX
    assert ROWS_MAX < windows.DIGIT
    assert sum(ROWS_MAX * windows.DIGIT**i for i in range(windows.DIGITS)) <= LONG_MAX
    in_steps = [a.summand_max * float(f"{1 / a.step:.0e}") for a in SUMS]
    assert max(in_steps) <= SUMMAND_STEPS_MAX + rounding


def test_products_of_returns_always_fit():
    """The largest return goes from the lowest to the highest price of the contract."""
    assert {a.name for a in SUMS} - {a.name for a in AT_RISK} == {
        "r",
        "r2",
        "r_in",
        "r1_in",
        "rr_in",
        "rr_abs_in",
    }
    extremes = {"r": [features.RETURN_MAX], "r1": [-features.RETURN_MAX]}
    for a in set(SUMS) - set(AT_RISK):
        assert abs(evaluate(pl.DataFrame(extremes), {"x": a.of})["x"][0]) <= a.summand_max


@pytest.mark.parametrize(
    ("of", "step"), [("r * r", 1e-15), ("ABS(r) / pv", 1e-9), ("r * sv", 1e-7), ("v", 1e-4)]
)
def test_a_sum_that_can_be_too_large_is_checked(of, step):
    assert not Aggregate("x", "sum", of, step).always_fits


def test_a_bar_of_too_many_ticks_overflows_in_every_sum_of_amounts(monkeypatch):
    monkeypatch.setattr(reference, "TICKS_MAX", 0)
    row = last_row(rising(1.0), (*LINES, *FEATURES))
    assert [row[f"sum_{a.name}_1h"] for a in AT_RISK] == [None] * len(AT_RISK)
    assert row["overflows_1h"] == 60 * len({(a.of, a.step) for a in AT_RISK})
    assert row["trade_count_1h"] == 60
    assert row["log_return_1h"] == pytest.approx(60 * 0.003)


prices = st.sampled_from([tick.PRICE_MIN, 1e-5, 1.0, 1000.0, 1e6, tick.PRICE_MAX])
prices |= st.floats(tick.PRICE_MIN, tick.PRICE_MAX)
sizes = st.sampled_from([tick.SIZE_MIN, 1e-5, 1.0, 1e4, 3e11, tick.SIZE_MAX])
sizes |= st.floats(tick.SIZE_MIN, tick.SIZE_MAX)


@st.composite
def amounts(draw) -> tuple[float, float, int]:
    """A price, a size and a side within the contract, also at its limits."""
    price, size = draw(prices), draw(sizes)
    size = max(size, tick.NOTIONAL_MIN / price, tick.SIZE_MIN)
    size = min(size, tick.NOTIONAL_MAX / price, tick.SIZE_MAX)
    return price, size, draw(st.sampled_from([-1, 0, 1]))


@settings(max_examples=25)
@given(cycle=st.lists(amounts(), min_size=1, max_size=8))
def test_a_sum_is_the_true_number_or_null(cycle):
    """The last hour by SQL and by the reference: the true sum, or NULL and counted."""
    ticks = minutes([cycle[i % len(cycle)] for i in range(64)])
    row = last_row(ticks, (*LINES, *FEATURES))
    (view,) = batch_sql.evaluate(ticks, [f"win_{HOUR.view}_1h"], duplicates=False)
    hour = view.sort("sec").row(-1, named=True)
    summands = true_summands(ticks)
    overflows = {a.name: sum(abs(x) > a.summand_max for x in summands[a.name]) for a in SUMS}
    distinct = {(a.of, a.step): overflows[a.name] for a in AT_RISK}
    digits = [
        hour["x_0_over_3600"] // windows.DIGIT**i % windows.DIGIT for i in range(windows.DIGITS)
    ]
    assert digits[: len(distinct)] == list(distinct.values()), "one digit per sum, in their order"
    assert row["overflows_1h"] == sum(distinct.values())
    for a in SUMS:
        value = row[f"sum_{a.name}_1h"]
        if overflows[a.name]:
            assert value is None
            continue
        true = sum(map(Fraction, summands[a.name][a.verb == "sum_inner" :]))
        rounding = 1e-14 * max(map(abs, summands[a.name])) + 90 * a.step / windows.FINE
        assert value == pytest.approx(float(true), rel=1e-9, abs=rounding)
        assert hour[f"{a.name}_3600"] == pytest.approx(float(true), rel=1e-9, abs=rounding)


def true_summands(ticks: list[Tick]) -> dict[str, list[float]]:
    """The exact summand of each of the last 60 minutes, for each exact sum."""
    r = [0.0, *(math.log(b.price / a.price) for a, b in pairwise(ticks))]
    columns = {
        "v": [t.size for t in ticks],
        "pv": [t.price * t.size for t in ticks],
        "sv": [t.side * t.size for t in ticks],
        "r": r,
        "r1": [0.0, *r[:-1]],
        "n": [1] * len(ticks),
        "s": [t.side for t in ticks],
        **dict.fromkeys(("high", "low", "close_price"), [t.price for t in ticks]),
    }
    bars = pl.DataFrame(columns)[-60:]
    return {a.name: evaluate(bars, {"x": a.of})["x"].to_list() for a in SUMS}
