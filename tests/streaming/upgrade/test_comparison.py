"""Rows of the live job against rows of its shadow, over a real lakehouse."""

import polars as pl
import pytest

from contracts.config.settings import Settings
from lakehouse.tables import Lakehouse
from streaming.upgrade import comparison
from streaming.upgrade.comparison import LIVE, SHADOW, Comparison
from tests.support import parity_tables
from tests.support.parity_tables import START, A, S

STRETCH_S = 600
BEGIN_US = START + 3700 * S
NAME = "volume_10s"


@pytest.fixture(scope="module")
def market():
    return parity_tables.ticks(count=900)


@pytest.fixture(scope="module")
def lake(market, tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("lake"))
    Lakehouse(settings).create()
    late = (pl.col("symbol") == "A") & (pl.col("event_time_us") == late_us(market))
    parity_tables.put_ticks(settings, market, late)
    return Lakehouse(settings)


def late_us(market) -> int:
    """The tick of A that silver calls late: the first after 4,000 s."""
    late = (pl.col("symbol") == "A") & (pl.col("event_time_us") > START + 4000 * S)
    return market.filter(late)["event_time_us"].min()


@pytest.fixture(scope="module")
def published(market):
    """The rows that a job publishes for all ticks."""
    return [
        {"view": view, "event_time_ms": row.pop("event_time_us") // 1000, **row}
        for view, frame in parity_tables.features(market).items()
        for row in frame.iter_rows(named=True)
    ]


@pytest.fixture
def compare(lake):
    """The result for these rows of both sides."""

    def compare(live, shadow, changed=()):
        run = Comparison(lake, frozenset(changed), STRETCH_S * S)
        run.begin(BEGIN_US)
        for side, rows in ((LIVE, live), (SHADOW, shadow)):
            for at in range(0, len(rows), 100):
                run.add(side, rows[at : at + 100])
        return run.finish()

    return compare


def inside(rows):
    to_us = BEGIN_US + STRETCH_S * S
    return [row for row in rows if BEGIN_US < row["event_time_ms"] * 1000 <= to_us]


def with_value(rows, at, name, value):
    """The same rows; of those of the stretch in the view of `name`, one has another value."""
    chosen = [row for row in inside(rows) if name in row and row["view"] == "tick_1s"][at]
    return [row | {name: value} if row is chosen else row for row in rows]


def test_equal_rows_pass_and_all_of_the_stretch_are_counted(compare, published):
    result = compare(published, published)
    assert result.passed and result.unexplained == 0
    assert result.compared == len(inside(published)) > 100
    assert result.diffs.total().compared > 1000


def test_without_a_row_nothing_passes(compare):
    result = compare([], [])
    assert (result.compared, result.unexplained, result.passed) == (0, 0, False)


@pytest.mark.parametrize("value", [1e6, None, float("nan")])
def test_one_other_value_is_refused(compare, published, value):
    result = compare(published, with_value(published, 5, NAME, value))
    assert not result.passed and result.unexplained == 1
    assert result.diffs["tick_1s", NAME].unexplained == 1


def test_a_difference_within_the_tolerance_passes(compare, published):
    row = [row for row in inside(published) if row["view"] == "tick_1s"][5]
    assert compare(published, with_value(published, 5, NAME, row[NAME] * (1 + 1e-12))).passed


def test_a_feature_that_changed_on_purpose_may_differ(compare, published, lake):
    """It is judged by the reference instead, which the last rows show."""
    result = compare(published, with_value(published, 5, NAME, 1e6), [NAME])
    assert result.passed and result.changed["tick_1s", NAME].unexplained == 1
    assert result.sampled > 0 and result.reference.unexplained == 0


def test_the_reference_refuses_a_changed_feature_that_is_wrong(compare, published):
    wrong = [row | {NAME: -1.0} if NAME in row else row for row in published]
    result = compare(published, wrong, [NAME])
    assert not result.passed and result.reference.unexplained > 0


def test_a_row_of_one_side_alone_is_refused(compare, published):
    gone = inside(published)[7]
    without = [row for row in published if row is not gone]
    missing, extra = compare(published, without), compare(without, published)
    assert missing.unexplained == extra.unexplained == 1
    view = gone["view"]
    assert (missing.rows[view].missing, extra.rows[view].extra) == (1, 1)


def is_late_row(row, market) -> bool:
    """Whether the row is the tile of the late tick."""
    end_ms = (late_us(market) // S + 1) * 1000
    return (row["view"], row["symbol"], row["event_time_ms"]) == ("tick_1s", A, end_ms)


def test_a_row_that_the_live_job_dropped_as_late_is_explained(compare, published, market):
    without = [row for row in published if not is_late_row(row, market)]
    assert len(without) == len(published) - 1
    result = compare(without, published)
    assert result.passed and result.rows["tick_1s"].late == 1


def test_a_value_with_a_late_tick_in_its_window_is_explained(compare, published, market):
    other = [row | {NAME: 0.5} if is_late_row(row, market) else row for row in published]
    result = compare(other, published)
    assert result.passed and result.diffs["tick_1s", NAME].late == 1


def test_rows_that_a_restarted_task_publishes_again_count_as_repeated(compare, published):
    result = compare([*published, *published], published)
    assert result.passed
    assert sum(rows.repeated for rows in result.rows.values()) == len(inside(published))


def test_an_added_column_is_compared_with_the_reference(compare, published):
    old = [{name: v for name, v in row.items() if name != NAME} for row in published]
    result = compare(old, published)
    assert result.passed and result.added[NAME] > 0 and result.sampled > 0
    wrong = [row | {NAME: -1.0} if NAME in row else row for row in published]
    assert not compare(old, wrong).passed


def test_a_removed_column_is_named(compare, published):
    result = compare([row | {"older_10s": 1.0} for row in published], published)
    assert result.passed and result.removed == {"older_10s"}


def test_rows_before_the_begin_are_ignored_also_when_they_came_first(lake, published):
    run = Comparison(lake, frozenset(), STRETCH_S * S)
    run.add(LIVE, published)
    run.ignore_until(BEGIN_US - 60 * S)
    run.add(SHADOW, published)
    run.begin(BEGIN_US)
    result = run.finish()
    assert result.compared == sum(row["event_time_ms"] * 1000 > BEGIN_US for row in published)


def test_pairs_that_are_equal_are_not_kept(lake, published, monkeypatch):
    monkeypatch.setattr(comparison, "SLICE_PAIRS", 50)
    run = Comparison(lake, frozenset(), STRETCH_S * S)
    run.begin(BEGIN_US)
    for row in published:
        run.add(LIVE, [row])
        run.add(SHADOW, [row])
        assert sum(map(len, run._pairs.values())) < 50
    assert run._kept == [] and run.waiting == 0
    assert run.finish().compared == len(inside(published))
