"""Coverage gaps: where one side has no row at all, and what is too short to count as one."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.parity.coverage import LENGTH_US_MIN, NO_LIVE_JOB, TIMES_MIN, CoverageGaps

S = 1_000_000
END_US = 10_000 * S


def gaps_of(times: dict[int, bool], parts: int = 1, end_us: int = END_US) -> CoverageGaps:
    """The gaps over row times (s) of either side: True where this side has a row."""
    found = CoverageGaps(NO_LIVE_JOB, 0)
    rows = sorted(times.items())
    size = -(-len(rows) // parts)
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        found.take(
            pl.DataFrame(
                {
                    "event_time_us": [s * S for s, _ in part],
                    "present": [present for _, present in part],
                }
            )
        )
    return found.end(end_us)


def test_a_gap_is_between_the_rows_of_the_side():
    (gap,) = gaps_of({0: True, **dict.fromkeys(range(100, 200), False), 300: True}).gaps
    assert (gap.kind, gap.from_us, gap.to_us, gap.rows) == (NO_LIVE_JOB, 0, 300 * S, 0)


def test_a_side_without_any_row_has_one_gap_over_the_whole_range():
    (gap,) = gaps_of(dict.fromkeys(range(0, 500, 10), False)).gaps
    assert (gap.from_us, gap.to_us) == (-1, END_US)


@pytest.mark.parametrize(("times", "count"), [(TIMES_MIN, 1), (TIMES_MIN - 1, 0)])
def test_too_few_rows_of_the_other_side_are_missing_rows(times, count):
    absent = dict.fromkeys(range(10, 10 + times), False)
    assert len(gaps_of({0: True, **absent, 900: True}).gaps) == count


@pytest.mark.parametrize(("length_s", "count"), [(61, 1), (60, 0)])
def test_a_minute_or_less_is_not_a_gap(length_s, count):
    assert LENGTH_US_MIN == 60 * S
    absent = dict.fromkeys(range(10, 20), False)
    assert len(gaps_of({0: True, **absent, length_s: True}).gaps) == count


def test_a_time_without_rows_of_either_side_is_not_a_gap():
    assert gaps_of({0: True, 5000: True}, end_us=5001 * S).gaps == []


@given(
    st.dictionaries(st.integers(0, 400), st.booleans(), min_size=1, max_size=60),
    st.integers(2, 7),
)
def test_slices_have_the_gaps_of_the_whole(times, parts):
    assert gaps_of(times, parts).gaps == gaps_of(times).gaps


@given(
    st.dictionaries(st.integers(0, 400), st.booleans(), min_size=1, max_size=60),
    st.lists(st.integers(0, 500), max_size=20),
)
def test_a_time_is_inside_a_gap_when_it_is_between_its_ends(times, asked):
    found = gaps_of(times)
    inside = found.inside(pl.Series(asked, dtype=pl.Int64) * S)
    expected = [any(gap.from_us < s * S < gap.to_us for gap in found.gaps) for s in asked]
    assert inside.to_list() == expected
    assert sum(gap.rows for gap in found.gaps) == sum(expected)


def test_the_rows_of_a_gap_add_up():
    found = gaps_of({0: True, **dict.fromkeys(range(100, 200), False), 300: True})
    for _ in range(2):
        found.inside(pl.Series([S, 2 * S, 300 * S]))
    assert found.gaps[0].rows == 4
