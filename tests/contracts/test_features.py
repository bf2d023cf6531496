"""Definitions of the features: consistent with each other, and within what their sums hold."""

import math
import re
from itertools import pairwise

import pytest

from contracts.features import (
    AGGREGATES,
    COLUMNS,
    CONTEXT,
    CORE,
    FEATURES,
    OVERFLOWS,
    RETURN_MAX,
    SUMMAND_STEPS_MAX,
    TICKS_MAX,
    Aggregate,
    columns,
)
from contracts.tick import NOTIONAL_MAX, PRICE_MAX, PRICE_MIN, SIZE_MAX
from contracts.windows import LABELS, LEVELS

WINDOW_ROWS_MAX = 90
BY_NAME = {aggregate.name: aggregate for aggregate in AGGREGATES}
# Numbers that a formula may use in addition to aggregates: w is the window in seconds.
CONSTANTS = {"w", "pi", "ln2", "year_s"}
SUMS = [aggregate for aggregate in AGGREGATES if aggregate.step is not None]


def used(feature) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", f"{feature.formula} {feature.null_if}"))


def test_names_are_unique():
    for definitions in (AGGREGATES, FEATURES, COLUMNS):
        names = [definition.name for definition in definitions]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_formula_uses_aggregates_and_constants_that_exist(feature):
    assert used(feature) <= BY_NAME.keys() | CONSTANTS
    assert used(feature) & BY_NAME.keys()


def test_no_aggregate_is_computed_in_vain():
    assert set().union(*map(used, FEATURES)) - CONSTANTS == set(BY_NAME)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_has_a_unit_a_scale_and_known_windows(feature):
    assert feature.unit and feature.scale > 0
    assert feature.windows_s and set(feature.windows_s) <= LABELS.keys()
    assert set(feature.core) <= set(feature.windows_s)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_division_by_an_aggregate_that_may_be_zero_is_null(feature):
    for divisor in re.findall(r"/ \{(v|n)\}", feature.formula):
        assert f"{{{divisor}}} = 0" in feature.null_if or feature.formula.startswith("{close}")


@pytest.mark.parametrize("aggregate", SUMS, ids=lambda aggregate: aggregate.name)
def test_the_sum_of_a_full_window_fits_64_bits(aggregate):
    steps = aggregate.summand_max / aggregate.step
    assert steps == pytest.approx(SUMMAND_STEPS_MAX)
    assert WINDOW_ROWS_MAX * steps < 2**63


def test_no_window_has_more_rows_than_the_sums_allow():
    for level in LEVELS:
        assert level.window_max_s / level.tile_s <= WINDOW_ROWS_MAX


def test_the_amounts_of_a_full_bar_fit_64_bits():
    assert TICKS_MAX * 1e12 < 2**63
    assert SIZE_MAX <= 1e12 and NOTIONAL_MAX <= 1e15


def test_sums_of_products_of_returns_always_fit_and_no_others():
    fitting = {aggregate.name for aggregate in SUMS if aggregate.always_fits}
    assert fitting == {"r", "r2", "r_in", "r1_in", "rr_in", "rr_abs_in"}
    assert math.log(PRICE_MAX / PRICE_MIN) == RETURN_MAX
    for name in fitting:
        factors = len(re.findall(r"\br1?\b", BY_NAME[name].of))
        assert RETURN_MAX**factors <= BY_NAME[name].summand_max


@pytest.mark.parametrize(
    ("of", "step", "fits"),
    [
        ("r", 1e-12, True),
        ("r * r1", 1e-13, True),
        ("ABS(r * r1)", 1e-13, True),
        ("r * r * r", 1e-13, False),  # 41.4 cubed is 71,000; 1e-13 holds 10,000
        ("r", 1e-16, False),
        ("r * sv", 1e-7, False),
        ("ABS(r) / pv", 1e-9, False),  # no product: the divisor may be small
        ("rv", 1e-12, False),
    ],
)
def test_only_a_product_of_returns_has_a_bound(of, step, fits):
    assert Aggregate("x", "sum", of, step).always_fits is fits


def test_a_sum_of_integers_has_no_largest_summand():
    assert Aggregate("n", "sum", "n").summand_max == math.inf


def test_columns_are_in_the_order_of_windows_then_features():
    for level in LEVELS:
        of_features = [column for column in columns(level) if column.window_s]
        windows = [column.window_s for column in of_features]
        assert windows == sorted(windows)
        order = [feature.name for feature in FEATURES]
        for one, other in pairwise(of_features):
            if one.window_s == other.window_s:
                first, second = (c.name.rpartition("_")[0] for c in (one, other))
                assert order.index(first) < order.index(second)


def test_a_column_tells_its_view_unit_and_window():
    by_name = {column.name: column for column in COLUMNS}
    column = by_name["flow_imbalance_5m"]
    assert (column.view, column.unit, column.window_s) == ("tick_10s", "[-1,1]", 300)
    assert column.core and not by_name["flow_imbalance_10s"].core


def test_every_feature_is_published_at_each_of_its_windows():
    expected = {f"{f.name}_{LABELS[w]}" for f in FEATURES for w in f.windows_s}
    assert {column.name for column in COLUMNS} == expected | set(CONTEXT)


def test_the_time_of_day_is_published_once_with_the_newest_rows():
    context = [column for column in COLUMNS if column.name in CONTEXT]
    assert [(column.view, column.window_s) for column in context] == [("tick_1s", 0)] * 2


def test_overflows_are_counted_once_a_view_over_its_longest_window():
    assert OVERFLOWS == {
        "tick_1s": "overflows_1m",
        "tick_10s": "overflows_15m",
        "tick_1m": "overflows_1h",
    }
    counted = {(c.view, c.name) for c in COLUMNS if c.name.startswith("overflows")}
    assert counted == set(OVERFLOWS.items())


def test_the_model_reads_published_columns_and_no_count_of_overflows():
    assert set(CORE) <= {column.name for column in COLUMNS}
    assert not set(CORE) & set(OVERFLOWS.values())
