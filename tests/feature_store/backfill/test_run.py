"""A backfill over a real lakehouse: its rows, what it skips, what it reports, whom it refuses."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.durations import DAY_US, HOUR_US
from contracts.errors import DatasetError, JobError
from feature_store.backfill import chunks, ledger, staging
from feature_store.backfill import run as backfill
from feature_store.backfill.chunks import Chunk, Lookback
from feature_store.backfill.run import ChunkSource, select_windowed_ticks
from lakehouse.tables import Lakehouse
from tests.feature_store.backfill.conftest import (
    BUSY,
    DAYS,
    FIRST_US,
    LAST_US,
    OLD_WARM_S,
    THIN,
    flink_is_down,
    stored_rows,
)

FIRST, SECOND = chunks.split(FIRST_US, LAST_US, DAY_US)


def test_the_rows_of_the_range_are_replaced_chunk_by_chunk(history, flink, expected):
    seen = []
    report = backfill.run(history, FIRST_US, LAST_US, lambda *step: seen.append(step))
    assert_frame_equal(stored_rows(history), expected, check_dtypes=False)
    assert (report.computed, report.unchanged, report.failed) == ([FIRST, SECOND], [], {})
    assert report.rows == len(expected) and report.ticks == DAYS * 8 + 4
    assert report.holes == {THIN: [SECOND.from_us]}
    assert seen == [("backfill", done, 2) for done in range(3)]
    assert flink.names == [f"{backfill.NAME} {FIRST}", f"{backfill.NAME} {SECOND}"]


@pytest.mark.filterwarnings("ignore:Parquet writer option")  # a job is a thread here
def test_chunks_at_the_same_time_make_the_same_rows_and_are_all_in_the_ledger(
    history, flink, expected
):
    report = backfill.run(history, FIRST_US, LAST_US, chunk_us=12 * HOUR_US, parallel=3)
    assert len(report.computed) == 4 and not report.failed
    assert_frame_equal(stored_rows(history), expected, check_dtypes=False)
    assert {chunk for chunk, _ in ledger.read_ledger(history).done} == set(report.computed)


def test_what_is_up_to_date_is_skipped_unless_it_is_asked_for_again(history, flink):
    backfill.run(history, FIRST_US, LAST_US)
    second = backfill.run(history, FIRST_US, LAST_US)
    assert (second.unchanged, second.computed, second.rows) == ([FIRST, SECOND], [], 0)
    assert second.ticks == DAYS * 8 + 4 and second.holes == {THIN: [SECOND.from_us]}
    assert len(flink.names) == 2
    assert len(backfill.run(history, FIRST_US, LAST_US, again=True).computed) == 2


def test_of_a_backfill_of_one_symbol_the_others_see_nothing(history, flink, expected):
    flink.symbols = (BUSY,)
    backfill.run(history, FIRST_US, LAST_US, symbols=[BUSY])
    old = stored_rows(history).filter(pl.col("warm_s") == OLD_WARM_S)["symbol"].unique()
    assert old.to_list() == [THIN] and len(stored_rows(history)) == len(expected)
    assert {who for _, who in ledger.read_ledger(history).done} == {BUSY}


def test_a_range_without_ticks_loses_its_rows_and_needs_no_job(history, flink, expected):
    report = backfill.run(history, FIRST_US - DAY_US, FIRST_US)
    assert (len(report.computed), report.rows, flink.names) == (1, 0, [])
    assert len(stored_rows(history)) == len(expected)


def test_a_failed_chunk_is_reported_with_its_hint_and_is_the_only_one_due(history, flink, expected):
    flink.fails = lambda name: flink_is_down(name) if name.endswith(str(FIRST)) else None
    report = backfill.run(history, FIRST_US, LAST_US)
    assert report.failed == {FIRST: "Flink does not answer (start it with `tick up`)"}
    assert report.computed == [SECOND]
    flink.fails = lambda _: None
    report = backfill.run(history, FIRST_US, LAST_US)
    assert (report.computed, report.unchanged, report.failed) == ([FIRST], [SECOND], {})
    assert_frame_equal(stored_rows(history), expected, check_dtypes=False)


def test_a_job_that_flink_ends_leaves_the_old_rows(history, flink, script):
    script.job[:] = [(200, {"state": "FAILED", "vertices": []})]
    before = stored_rows(history)
    report = backfill.run(history, FIRST_US, LAST_US)
    assert all("job job ended FAILED" in why for why in report.failed.values())
    assert list(report.failed) == [FIRST, SECOND] and not report.computed
    assert_frame_equal(stored_rows(history), before)
    assert Lakehouse(history).catalog.list_tables(staging.NAMESPACE) == []


def test_flink_must_answer_before_anything_is_computed(history, flink, script):
    script.overview = (500, {})
    with pytest.raises(JobError, match="Flink answered 500"):
        backfill.run(history, FIRST_US, LAST_US)
    assert flink.names == []


def test_only_unfinished_backfills_of_earlier_runs_are_cancelled(history, script):
    states = ("RUNNING", "RESTARTING", "FINISHED", "CANCELED", "FAILED")
    jobs = [(f"{backfill.NAME} {FIRST}", state) for state in states] + [("another job", "RUNNING")]
    script.overview = (
        200,
        {"jobs": [{"jid": "j", "name": n, "state": s, "start-time": 1} for n, s in jobs]},
    )
    backfill.cancel_abandoned(history)
    assert script.cancelled == 2


@pytest.mark.parametrize(("from_us", "to_us"), [(FIRST_US, FIRST_US), (LAST_US, FIRST_US)])
def test_a_range_that_ends_before_it_begins_is_refused(history, from_us, to_us):
    with pytest.raises(DatasetError, match="the range is empty: --from 2024-0") as caught:
        backfill.run(history, from_us, to_us)
    assert caught.value.hint == "pass the earlier time as --from"


def test_the_future_is_refused(history):
    with pytest.raises(DatasetError, match="is in the future") as caught:
        backfill.run(history, FIRST_US, now_us() + 2 * DAY_US)
    assert "pass an earlier --to" in caught.value.hint


def test_an_unknown_symbol_is_refused_with_those_that_exist(history, flink):
    with pytest.raises(DatasetError, match="no tick of V:NONE, W:BUSY") as caught:
        backfill.run(history, FIRST_US, LAST_US, symbols=[BUSY, "W:BUSY", "V:NONE"])
    assert caught.value.hint == f"--symbols can be: {BUSY}, {THIN}" and flink.names == []


def test_an_empty_lakehouse_has_no_symbol(tmp_path):
    with pytest.raises(DatasetError) as caught:
        backfill.run(Settings(home=tmp_path), FIRST_US, LAST_US, symbols=[BUSY])
    assert caught.value.hint == "--symbols can be: none, the lakehouse is empty"


def test_a_second_backfill_is_refused_by_name_whatever_its_range(history, flink):
    with (
        ledger.exclusive_access(history, "a rollback of gold"),
        pytest.raises(JobError, match=r"a rollback of gold \(host .* UTC\) is running"),
    ):
        impatient = history.model_copy(update={"lease_wait_s": 0})
        backfill.run(impatient, FIRST_US - 9 * DAY_US, FIRST_US - 8 * DAY_US)
    assert flink.names == []


def test_a_job_is_named_after_its_chunk_and_writes_its_range_only(history):
    chunk = Chunk(FIRST_US, FIRST_US + HOUR_US)
    source = ChunkSource(Lookback(FIRST_US - DAY_US), duplicates=False)
    job = backfill.program(history, chunk, source, "staging.x")
    assert job.name == f"{backfill.NAME} 2024-02-29 – 2024-02-29 01:00:00"
    (insert,) = job.inserts
    assert insert.startswith("INSERT INTO lakehouse.staging.x ")
    assert insert.endswith(
        f"WHERE event_time >= TO_TIMESTAMP_LTZ({FIRST_US // 1000}, 3) AND"
        f" event_time < TO_TIMESTAMP_LTZ({(FIRST_US + HOUR_US) // 1000}, 3)"
    )
    assert (job.mode, job.parallelism) == ("batch", history.backfill_parallelism)


def test_without_gaps_symbols_and_snapshot_only_the_times_are_conditions():
    text = select_windowed_ticks(ChunkSource(Lookback(5_000_000)), 9_000_000)
    assert text.endswith(
        "FROM lakehouse.silver.tick_data WHERE event_time < TO_TIMESTAMP_LTZ(9000, 3)"
        " AND event_time >= TO_TIMESTAMP_LTZ(5000, 3)"
    )


def test_the_symbols_are_alternatives_in_parentheses():
    text = select_windowed_ticks(ChunkSource(Lookback(0), ["V:A", "V:O'NEIL", "W:X:Y"]), 1)
    assert text.endswith(
        " AND ((venue = 'V' AND symbol = 'A') OR (venue = 'V' AND symbol = 'O''NEIL')"
        " OR (venue = 'W' AND symbol = 'X:Y'))"
    )
