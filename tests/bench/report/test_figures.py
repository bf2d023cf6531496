"""Figures with their aims, and how numbers are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.figures import Figure, format_number, quantile

NUMBERS = st.floats(min_value=-1e12, max_value=1e12)


@pytest.mark.parametrize(
    ("figure", "is_met"),
    [
        (Figure("", 2.0, "", at_least=1), True),
        (Figure("", 1.0, "", at_least=1), True),
        (Figure("", 0.999, "", at_least=1), False),
        (Figure("", 2.0, "", at_most=1), False),
        (Figure("", 1.0, "", at_most=1), True),
        (Figure("", 0.5, "", at_most=1), True),
        (Figure("", 2.0, ""), None),
        (Figure("", 1.0, "", at_least=0), True),
        (Figure("", 1.0, "", at_most=0), False),
        (Figure("", float("nan"), "", at_least=1), False),
        (Figure("", float("nan"), "", at_most=1), False),
    ],
)
def test_an_aim_is_met_or_not_or_absent(figure, is_met):
    assert figure.met is is_met


@pytest.mark.parametrize(
    ("figure", "aim"),
    [
        (Figure("", 0, "", at_least=30_000), "≥ 30,000"),
        (Figure("", 0, "", at_most=1.5), "≤ 1.5"),
        (Figure("", 0, "", at_most=0), "≤ 0"),
        (Figure("", 0, ""), ""),
    ],
)
def test_an_aim_is_shown_with_its_relation(figure, aim):
    assert figure.aim == aim


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.5, "1.5"),
        (99.44, "99.4"),
        (100, "100"),
        (-1234.5, "-1,234"),
        (1234567.8, "1,234,568"),
    ],
)
def test_numbers_are_short(value, text):
    assert format_number(value) == text


@given(NUMBERS)
def test_a_shown_number_is_within_half_a_percent(value):
    shown = float(format_number(value).replace(",", ""))
    assert shown == pytest.approx(value, rel=0.00501)


@given(NUMBERS)
def test_a_shown_number_has_no_exponent_when_it_is_large(value):
    if abs(value) >= 1:
        assert "e" not in format_number(value)


@given(st.lists(NUMBERS, min_size=1), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_a_value_with_its_share_below(values, share):
    result = quantile(values, share)
    assert result in values
    assert sum(value < result for value in values) <= share * len(values)
    assert sum(value <= result for value in values) >= share * len(values)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, 50), (0.99, 99), (1.0, 99)])
def test_quantiles_of_a_hundred_values(share, expected):
    assert quantile(range(99, -1, -1), share) == expected
