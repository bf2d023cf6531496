"""The rules on age and completeness: the outcome depends on row, settings and time only."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config.settings import Settings
from contracts.features import CORE
from contracts.windows import LEVELS
from feature_store.online.reader import FeatureRow
from serving.core.freshness import evaluate_row
from serving.core.status import Status

NOW_US = 1_800_000_000_000_000
SETTINGS = Settings()
VIEWS = [level.view for level in LEVELS]


def row(ages_s=(1.0, 1.0, 1.0), **fields) -> FeatureRow:
    times = {
        view: None if age is None else NOW_US - int(age * 1e6)
        for view, age in zip(VIEWS, ages_s, strict=True)
    }
    old = tuple(
        v
        for v, age, level in zip(VIEWS, ages_s, LEVELS, strict=True)
        if age is not None and age > 300 + level.tile_s
    )
    feature_row = FeatureRow(
        symbol="A:B",
        found=any(age is not None for age in ages_s),
        values=[1.0] * len(CORE),
        missing=(),
        event_time_us=times,
        age_s=None if ages_s[0] is None else max(0.0, ages_s[0]),
        old_views=old,
        warm_s=3600,
        known_at_us=NOW_US,
    )
    return replace(feature_row, **fields)


def evaluated(feature_row: FeatureRow):
    return evaluate_row(feature_row, CORE, SETTINGS, NOW_US)


@pytest.mark.parametrize(
    "ages_s, status, stale",
    [
        ((0, 0, 0), Status.OK, False),
        ((60, 60, 60), Status.OK, False),
        ((60.001, 60, 60), Status.OK, True),
        ((60, 69, 119), Status.OK, False),
        ((1, 69.001, 1), Status.OK, True),
        ((1, 1, 119.001), Status.OK, True),
        ((300, 300, 300), Status.OK, True),
        ((300.001, 300, 300), Status.TOO_OLD, None),
        ((1, 1, 360.001), Status.TOO_OLD, None),
        ((-4.9, -4.9, -4.9), Status.OK, False),
        ((-5.1, 1, 1), Status.FUTURE_FEATURES, None),
        ((None, 1, 1), Status.MISSING_FEATURES, None),
        ((1, None, 1), Status.MISSING_FEATURES, None),
        ((None, None, None), Status.UNKNOWN_SYMBOL, None),
    ],
)
def test_age_decides(ages_s, status, stale):
    outcome = evaluated(row(ages_s))
    assert (outcome.status, outcome.stale) == (status, stale)


@pytest.mark.parametrize("ttl_s, text", [(86_400, "24 h"), (5400, "5400 s")])
def test_a_row_older_than_the_limit_of_the_store_counts_as_absent(ttl_s, text):
    settings = Settings(redis_ttl_s=ttl_s)
    reasons = {
        ages_s: evaluate_row(row(ages_s), CORE, settings, NOW_US).reason
        for ages_s in ((None, None, None), (1, None, 1))
    }
    assert reasons == {
        (None, None, None): f"no features of this symbol within the last {text}",
        (1, None, 1): f"no row in tick_10s within the last {text}",
    }


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf"), 3.5e38])
def test_a_value_that_does_not_fit_a_model_is_missing(value):
    values = [1.0] * len(CORE)
    values[4] = value
    outcome = evaluated(row(values=values))
    assert outcome.status is Status.MISSING_FEATURES
    assert outcome.missing == (CORE[4],)


@given(
    ages=st.tuples(*[st.none() | st.floats(-20, 2000)] * 3),
    values=st.lists(st.none() | st.floats(), min_size=len(CORE), max_size=len(CORE)),
    warm_s=st.integers(0, 3600),
)
def test_ok_means_complete_and_young_enough_and_all_else_has_a_reason(ages, values, warm_s):
    outcome = evaluated(row(ages, values=values, warm_s=warm_s))
    if outcome.status is Status.OK:
        assert all(value is not None and abs(value) < 3.5e38 for value in values)
        assert all(
            age is not None and age <= 300 + level.tile_s
            for age, level in zip(ages, LEVELS, strict=True)
        )
        assert outcome.stale is not None
        assert outcome.stale or max(ages) <= 120
    else:
        assert outcome.reason
        assert outcome.stale is None
