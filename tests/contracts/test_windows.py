"""Levels of time: each window belongs to one level and is a whole number of its rows."""

from itertools import pairwise

import pytest

from contracts.windows import LABELS, LEVELS, WARM_CAP_S, level_of


def test_every_window_belongs_to_one_level_and_has_a_label():
    windows = [window for level in LEVELS for window in level.windows_s]
    assert len(set(windows)) == len(windows)
    assert set(windows) == set(LABELS)
    for level in LEVELS:
        assert all(level_of(window) is level for window in level.windows_s)


def test_a_window_is_a_whole_number_of_rows():
    for level in LEVELS:
        assert all(window % level.tile_s == 0 for window in level.windows_s)


def test_rows_are_merged_from_whole_rows_of_the_level_before():
    assert LEVELS[0].tile_s == 1
    for finer, coarser in pairwise(LEVELS):
        assert coarser.tile_s % finer.tile_s == 0
        assert min(coarser.windows_s) > finer.window_max_s


def test_the_longest_window_of_a_level_is_its_last():
    for level in LEVELS:
        assert level.window_max_s == max(level.windows_s)


def test_a_row_is_warm_after_the_longest_window():
    assert max(LABELS) == WARM_CAP_S


@pytest.mark.parametrize("window_s", [0, 1, 59, 61, 7200])
def test_an_unknown_window_is_an_error(window_s):
    with pytest.raises(KeyError, match=str(window_s)):
        level_of(window_s)


@pytest.mark.parametrize(
    ("label", "seconds"), [("10s", 10), ("1m", 60), ("15m", 900), ("1h", 3600)]
)
def test_a_label_says_how_long_the_window_is(label, seconds):
    assert LABELS[seconds] == label
