"""The parity meter over real Iceberg tables.

Equal, perturbed, missing, extra, late, warming up, repeated, and no job at all.
"""

import json
import math

import polars as pl
import pytest
from pyiceberg.schema import Schema

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from feature_store.parity import meter, stored_rows
from feature_store.parity.coverage import NO_LIVE_JOB, NOT_BACKFILLED, CoverageGaps
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse
from tests.support import parity_tables
from tests.support.parity_tables import DAY, LENGTH_S, START, A, B, S

NOW_US = START + 400 * DAY
NAME = "volume_5m"


@pytest.fixture(scope="module")
def market():
    return parity_tables.ticks()


@pytest.fixture(scope="module")
def views(market):
    return parity_tables.features(market)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """One lakehouse; each test uses a separate day."""
    found = Settings(home=tmp_path_factory.mktemp("lake"))
    Lakehouse(found).create()
    return found


@pytest.fixture
def play(settings, request):
    """Write both sides to an unused day and measure it: `play(live, batch)`."""
    by_us = DAY * (
        1 + 2 * [item.nodeid for item in request.session.items].index(request.node.nodeid)
    )

    def measure(
        live,
        batch,
        *,
        symbols=None,
        ticks=None,
        late=None,
        from_us=START,
        to_us=START + DAY,
        sample=0,
    ):
        parity_tables.put_both(
            settings, parity_tables.moved(live, by_us), parity_tables.moved(batch, by_us)
        )
        if ticks is not None:
            parity_tables.put_ticks(
                settings,
                ticks.with_columns(pl.col("event_time_us", "ingest_time_us") + by_us),
                late,
            )
        return meter.measure(settings, from_us + by_us, to_us + by_us, NOW_US, symbols, sample)

    return measure


def diffs_of(report):
    return {line.name: line for line in report.diffs.values()}


def test_equal_sides_have_nothing_unexplained(play, views):
    report = play(views, views)
    assert report.unexplained == 0 and report.coverage_gaps == []
    assert {view: rows.compared for view, rows in report.rows.items()} == {
        view: len(frame) for view, frame in views.items()
    }
    assert all(line.mismatch == 0 and line.worst is None for line in report.diffs.values())
    assert sum(line.compared for line in report.diffs.values()) == sum(
        len(f) * (len(f.columns) - 4) for f in views.values()
    )


@pytest.mark.parametrize(("factor", "unexplained"), [(1 + 1e-8, 1), (1 + 1e-11, 0)])
def test_one_value_beyond_the_tolerance_is_found_one_below_it_is_not(
    play, views, factor, unexplained
):
    at = 20
    value = views["tick_10s"][NAME].to_list()
    place = next(i for i, v in enumerate(value) if i >= at and v is not None)
    live = parity_tables.changed(views, "tick_10s", place, **{NAME: value[place] * factor})
    report = play(live, views)
    found = diffs_of(report)[NAME]
    assert (report.unexplained, found.unexplained) == (unexplained, unexplained)
    assert found.worst.relative == pytest.approx(abs(factor - 1), rel=1e-3)
    assert (found.worst.symbol, found.worst.expected) == (
        views["tick_10s"]["symbol"][place],
        value[place],
    )


def test_a_missing_value_is_a_difference(play, views):
    place = len(views["tick_10s"]) - 1
    report = play(parity_tables.changed(views, "tick_10s", place, **{NAME: None}), views)
    assert (diffs_of(report)[NAME].null_got, report.unexplained) == (1, 1)
    assert report.as_dict()["features"] and json.dumps(report.as_dict(), allow_nan=False)


def test_a_row_that_one_side_lacks_is_named(play, views):
    gone = (pl.col("symbol") == A) & (pl.int_range(pl.len()) == 30)
    fewer = parity_tables.only(views, ~gone)
    report = play(fewer, views)
    assert {view: rows.missing for view, rows in report.rows.items()} == dict.fromkeys(views, 1)
    assert {(e.what, e.symbol) for e in report.examples} == {
        ("missing", A)
    } and report.unexplained == 3


def test_a_row_too_many_is_named(play, views):
    gone = (pl.col("symbol") == A) & (pl.int_range(pl.len()) == 30)
    report = play(views, parity_tables.only(views, ~gone))
    assert {view: rows.extra for view, rows in report.rows.items()} == dict.fromkeys(views, 1)
    assert {e.what for e in report.examples} == {"extra"} and report.unexplained == 3


def test_a_row_that_history_has_twice_is_a_defect(play, views):
    twice = views | {"tick_1m": pl.concat([views["tick_1m"], views["tick_1m"].head(1)])}
    report = play(views, twice)
    assert report.rows["tick_1m"].doubled == 1 and report.unexplained == 1


def test_late_ticks_in_silver_explain_what_they_touch(play, market, views):
    """A whole bar was late too: its live row is missing, and that is also explained."""
    lost = (
        market.filter(pl.col("event_time_us") > START + 1000 * S)["trade_id"]
        .unique(maintain_order=True)
        .to_list()[:25:8]
    )
    late = pl.col("trade_id").is_in(lost)
    report = play(parity_tables.features(market.filter(~late)), views, ticks=market, late=late)
    assert report.unexplained == 0, report.examples
    assert sum(line.late for line in report.diffs.values()) > 0
    assert report.rows["tick_1s"].late > 0 and report.rows["tick_1s"].missing == 0


def test_without_the_late_flag_the_same_differences_are_defects(play, market, views):
    lost = (
        market.filter(pl.col("event_time_us") > START + 1000 * S)["trade_id"]
        .unique(maintain_order=True)
        .to_list()[:25:8]
    )
    report = play(
        parity_tables.features(market.filter(~pl.col("trade_id").is_in(lost))), views, ticks=market
    )
    assert report.diffs.unexplained > 0 and report.rows["tick_1s"].missing > 0


def test_a_job_that_began_late_is_explained_as_warm_up_and_a_coverage_gap(play, market, views):
    live = parity_tables.features(market.filter(pl.col("event_time_us") >= START + 1800 * S))
    report = play(live, views)
    assert report.unexplained == 0, report.examples
    assert sum(line.warm_up for line in report.diffs.values()) > 0
    (gap,) = report.coverage_gaps
    assert (
        gap.kind == NO_LIVE_JOB
        and gap.rows == sum(rows.no_live_job for rows in report.rows.values()) > 0
    )


def test_of_repeated_rows_the_one_with_more_history_counts(play, market, views):
    begun = parity_tables.features(market.filter(pl.col("event_time_us") >= START + 1800 * S))
    both = {view: pl.concat([begun[view], frame]) for view, frame in views.items()}
    report = play(both, views)
    assert (report.unexplained, sum(line.mismatch for line in report.diffs.values())) == (0, 0)
    assert {view: rows.repeated for view, rows in report.rows.items()} == {
        view: len(frame) for view, frame in begun.items()
    }


@pytest.mark.parametrize("side", [NO_LIVE_JOB, NOT_BACKFILLED])
def test_a_time_without_one_side_is_a_coverage_gap_and_no_row_error(play, views, side):
    hole = pl.col("event_time_us") % DAY
    part = parity_tables.only(views, ~hole.is_between(1000 * S, 1600 * S))
    report = play(part, views) if side == NO_LIVE_JOB else play(views, part)
    (gap,) = report.coverage_gaps
    assert (report.unexplained, gap.kind) == (0, side)
    assert 590 * S < gap.to_us - gap.from_us < 700 * S
    assert gap.rows == sum(len(views[v]) - len(part[v]) for v in views)


def test_one_symbol_alone_without_live_rows_is_not_a_coverage_gap(play, views):
    hole = (pl.col("symbol") == A) & (pl.col("event_time_us") % DAY).is_between(1000 * S, 1600 * S)
    report = play(parity_tables.only(views, ~hole), views)
    assert report.coverage_gaps == [] and report.rows["tick_1s"].missing > 10


def test_a_symbol_that_was_never_backfilled_is_said_by_name(play, views):
    report = play(views, parity_tables.only(views, pl.col("symbol") == A))
    assert (report.never_backfilled, report.unexplained) == ([B], 0)
    assert report.rows["tick_1s"].not_backfilled == len(
        views["tick_1s"].filter(pl.col("symbol") == B)
    )


def test_a_symbol_that_was_loaded_and_never_live_is_said_by_name(play, views):
    report = play(parity_tables.only(views, pl.col("symbol") == A), views)
    assert (report.never_live, report.unexplained) == ([B], 0)
    assert report.rows["tick_1s"].no_live_job == len(views["tick_1s"].filter(pl.col("symbol") == B))


def test_only_the_symbols_asked_for_are_compared(play, views):
    broken = views | {
        "tick_10s": views["tick_10s"].with_columns(
            pl.when(pl.col("symbol") == A).then(pl.col(NAME)).otherwise(9.0).alias(NAME)
        )
    }
    report = play(broken, views, symbols=[A])
    assert report.unexplained == 0 and report.rows["tick_1s"].live == len(
        views["tick_1s"].filter(pl.col("symbol") == A)
    )


def test_small_slices_find_the_same_as_one(play, settings, market, views, monkeypatch):
    whole = play(
        parity_tables.features(market.filter(pl.col("event_time_us") >= START + 1800 * S)), views
    )
    monkeypatch.setattr(stored_rows, "SLICES_S", (900,))
    monkeypatch.setattr(stored_rows, "SLICE_ROWS", 0)
    parts = meter.measure(settings, whole.from_us, whole.from_us + (LENGTH_S + 60) * S, NOW_US)
    assert (
        parts.diffs == whole.diffs
        and parts.rows == whole.rows
        and parts.coverage_gaps == whole.coverage_gaps
    )


def test_a_sample_of_history_is_what_the_oracle_says(play, market, views):
    late = pl.col("trade_id") == "A300"  # history counts it, hence the oracle does
    report = play(views, views, ticks=market, late=late, sample=40)
    assert report.reference.rows == 3 * 40 and report.reference.unexplained == 0
    assert sum(line.compared for line in report.reference.diffs.values()) > 40 * 80


def test_history_that_is_not_what_the_ticks_say_is_found_by_the_oracle_alone(play, market, views):
    wrong = {
        view: frame.with_columns(pl.col("volume_10s") * 1.001) if view == "tick_1s" else frame
        for view, frame in views.items()
    }
    report = play(wrong, wrong, ticks=market, sample=40)
    assert (report.diffs.unexplained, report.reference.extra) == (0, 0)
    assert {name for (_, name), line in report.reference.diffs.items() if line.unexplained} == {
        "volume_10s"
    }


def test_the_range_both_tables_cover_leaves_out_bars_that_were_open(tmp_path, views):
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    for table, message in ((GOLD_LIVE, "no live job"), (GOLD, "nothing was backfilled")):
        with pytest.raises(DatasetError, match=message):
            stored_rows.covered_range(Lakehouse(settings), NOW_US)
        parity_tables.put_features(
            settings,
            table,
            parity_tables.only(views, pl.col("event_time_us") > START + 600 * S)
            if table == GOLD
            else views,
        )
    first, last = stored_rows.covered_range(Lakehouse(settings), NOW_US)
    newest = max(frame["event_time_us"].max() for frame in views.values())
    assert START + 600 * S < first < START + 660 * S and last == newest - 60 * S
    assert stored_rows.covered_range(Lakehouse(settings), START + 3000 * S) == (
        first,
        START + 2880 * S,
    )
    assert meter.measure(settings, first, last, NOW_US).unexplained == 0
    with pytest.raises(DatasetError, match="no time in common"):
        stored_rows.covered_range(Lakehouse(settings), START + 600 * S)


def test_a_range_that_cannot_be_compared_is_an_error(settings):
    with pytest.raises(DatasetError, match="range is empty"):
        meter.measure(settings, START, START, NOW_US)
    with pytest.raises(DatasetError, match="no rows in this range"):
        meter.measure(settings, START - 9 * DAY, START - 8 * DAY, NOW_US)


def test_an_unknown_symbol_is_an_error(play, views):
    with pytest.raises(DatasetError, match="V:C"):
        play(views, views, symbols=[A, "V:C"])


def test_the_totals_are_kept_for_a_monitor(settings, play, views):
    report = play(views, views)
    meter.save(settings, report)
    kept = json.loads((settings.root / meter.FILE).read_text())
    assert kept == report.totals() and kept["taken_us"] == NOW_US and kept["rows_compared"] > 0
    assert not list(settings.root.glob("*.part"))


def test_absences_span_slices():
    side = CoverageGaps(NO_LIVE_JOB, START)
    present = {0: True, 50: False, 100: False, 150: False, 200: True, 230: False, 240: True}
    for part in ([0, 50], [100], [150, 200], [230, 240]):
        side.take(
            pl.DataFrame(
                {
                    "event_time_us": [START + s * S for s in part],
                    "present": [present[s] for s in part],
                }
            )
        )
    (found,) = side.end(START + 400 * S).gaps
    assert (found.from_us, found.to_us) == (START, START + 200 * S)
    times = pl.Series([START, START + S, START + 199 * S, START + 200 * S, START + 230 * S])
    assert side.inside(times).to_list() == [False, True, True, False, False] and found.rows == 2
    assert math.isclose(found.to_us - found.from_us, 200 * S)


def test_a_column_that_was_added_later_explains_rows_from_before_it(tmp_path, market, views):
    """The job was restarted with a new line: it published the last minutes again, with it."""
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    for table in (GOLD, GOLD_LIVE):
        older = [
            n
            for n in Lakehouse(settings).table(table).schema().column_names
            if n not in ("volume_10s", "volume_5m")
        ]
        Lakehouse(settings).catalog.drop_table(table)
        kept = tables.schema(table)
        fields = [found for found in kept.fields if found.name in older]
        Lakehouse(settings).catalog.create_table(
            table, Schema(*fields), partition_spec=tables.partitions(table)
        )
    before = {
        view: frame.drop("volume_10s", "volume_5m", strict=False) for view, frame in views.items()
    }
    parity_tables.put_features(
        settings, GOLD_LIVE, parity_tables.only(before, pl.col("event_time_us") <= START + 3000 * S)
    )
    Lakehouse(settings).create()
    afresh = parity_tables.features(market.filter(pl.col("event_time_us") >= START + 2400 * S))
    parity_tables.put_features(settings, GOLD_LIVE, afresh)
    parity_tables.put_features(settings, GOLD, views)
    report = meter.measure(settings, START, START + DAY, NOW_US)
    assert report.unexplained == 0, [line for line in report.diffs.values() if line.unexplained]
    assert {name for (_, name), line in report.diffs.items() if line.new_column} == {
        "volume_10s",
        "volume_5m",
    }
    broken = parity_tables.changed(
        parity_tables.moved(views, DAY), "tick_10s", len(views["tick_10s"]) - 1, volume_5m=None
    )
    parity_tables.put_both(settings, broken, parity_tables.moved(views, DAY))
    assert meter.measure(settings, START + DAY, START + 2 * DAY, NOW_US).unexplained == 1


def test_history_without_the_new_column_is_due_for_a_backfill_and_no_defect(tmp_path, views):
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    older = [found for found in tables.schema(GOLD).fields if found.name != NAME]
    Lakehouse(settings).catalog.drop_table(GOLD)
    Lakehouse(settings).catalog.create_table(
        GOLD, Schema(*older), partition_spec=tables.partitions(GOLD)
    )
    parity_tables.put_features(
        settings, GOLD, {view: frame.drop(NAME, strict=False) for view, frame in views.items()}
    )
    Lakehouse(settings).create()
    parity_tables.put_features(settings, GOLD_LIVE, views)
    report = meter.measure(settings, START, START + DAY, NOW_US)
    assert report.unexplained == 0
    assert diffs_of(report)[NAME].new_column == diffs_of(report)[NAME].null_expected > 0


def test_a_late_tick_before_a_weekend_explains_the_first_return_after_it(tmp_path):
    """The last bar before the halt was late: only Monday's first returns differ."""
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    friday, monday = (
        parity_tables.ticks((A,), count=40),
        parity_tables.ticks((A,), seed=3, count=40, start_us=START + 2 * DAY),
    )
    trades = pl.concat(
        [friday, monday.with_columns(trade_id="m" + pl.col("trade_id"), seq=pl.col("seq") + 99)]
    )
    late = pl.col("trade_id") == friday["trade_id"][-1]
    parity_tables.put_both(
        settings, parity_tables.features(trades.filter(~late)), parity_tables.features(trades)
    )
    parity_tables.put_ticks(settings, trades, late)
    report = meter.measure(settings, START + 2 * DAY, START + 3 * DAY, NOW_US)
    assert report.unexplained == 0
    names = {name for (_, name), line in report.diffs.items() if line.late}
    assert "log_return_10s" in names and not {"volume_10s", "trade_count_1m"} & names
