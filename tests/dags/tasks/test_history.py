"""Chunks of a backfill, its failures, and the days without ticks."""

from datetime import UTC, datetime

import pytest

from contracts.durations import DAY_US
from contracts.errors import DatasetError, JobError
from dags.tasks import history
from dags.tasks.task_context import parse_us
from feature_store.backfill import run as backfill
from feature_store.backfill.chunks import Chunk
from feature_store.backfill.run import BackfillReport
from lakehouse.tables import Lakehouse

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
FIRST_US = parse_us("2026-03-01")
NIGHT = (datetime(2026, 3, 1, 0, 30, tzinfo=UTC), datetime(2026, 3, 2, 0, 30, tzinfo=UTC))
CHUNK = {"from_us": FIRST_US, "to_us": FIRST_US + DAY_US}


@pytest.fixture
def lake(settings):
    lake = Lakehouse(settings)
    lake.create()
    return lake


@pytest.fixture
def backfilled(monkeypatch):
    """Replaces the backfill by one that returns this report, and keeps its arguments."""

    class Backfill:
        report = BackfillReport()

        def __call__(self, _settings, from_us, to_us, _progress, symbols, chunk_us):
            self.arguments = (from_us, to_us, symbols, chunk_us)
            return self.report

    replacement = Backfill()
    monkeypatch.setattr(backfill, "run", replacement)
    return replacement


def test_a_range_is_split_into_chunks_of_the_chosen_length(lake, in_task):
    with in_task({"from": "2026-03-01", "to": "2026-03-03T12:00", "chunk": "1d"}):
        chunks = history.plan_chunks()
    starts = [FIRST_US, FIRST_US + DAY_US, FIRST_US + 2 * DAY_US]
    assert [chunk["from_us"] for chunk in chunks] == starts
    assert chunks[-1]["to_us"] == FIRST_US + 2 * DAY_US + DAY_US // 2  # not rounded to days


def test_a_nightly_run_plans_the_day_on_which_its_interval_begins(lake, in_task):
    with in_task({"chunk": "auto"}, NIGHT):
        assert history.plan_chunks() == [CHUNK]


def test_a_wrong_chunk_length_says_what_to_write(lake, in_task):
    with in_task({"chunk": "1m"}, NIGHT), pytest.raises(DatasetError) as error:
        history.plan_chunks()
    assert error.value.message == "'1m' is not a chunk length"
    assert error.value.hint == "use --chunk 12h, 1d, 2w or auto"


def test_a_chunk_is_computed_in_one_piece_for_the_chosen_symbols(in_task, backfilled):
    with in_task({"symbols": ["V:A"]}):
        history.backfill_chunk(CHUNK)
    from_us, to_us, symbols, chunk_us = backfilled.arguments
    assert (from_us, to_us, symbols) == (FIRST_US, FIRST_US + DAY_US, ["V:A"])
    assert to_us // chunk_us == 0  # no multiple of the length is inside the chunk


def test_no_symbols_means_all(in_task, backfilled):
    with in_task({"symbols": []}):
        history.backfill_chunk(CHUNK)
    assert backfilled.arguments[2] is None


def test_the_result_of_a_chunk_counts_rows_ticks_and_unchanged_chunks(in_task, backfilled):
    holes = {"V:A": [FIRST_US]}
    backfilled.report = BackfillReport(
        rows=7, ticks=9, unchanged=[Chunk(0, 1), Chunk(1, 2)], holes=holes
    )
    with in_task():
        assert history.backfill_chunk(CHUNK) == {
            "rows": 7,
            "ticks": 9,
            "unchanged": 2,
            "holes": holes,
        }


def test_a_failed_chunk_fails_the_task_with_its_error(in_task, backfilled):
    backfilled.report = BackfillReport(failed={Chunk(FIRST_US, FIRST_US + DAY_US): "no slot"})
    with in_task(), pytest.raises(JobError, match="no slot") as error:
        history.backfill_chunk(CHUNK)
    assert "2026-03-01" in error.value.message
    assert "tick up" in error.value.hint


def test_without_flink_the_task_fails_and_is_retried(lake, in_task):
    with in_task(), pytest.raises(JobError):
        history.backfill_chunk(CHUNK)


def test_days_without_ticks_are_reported_by_symbol_over_all_chunks(caplog):
    reports = [
        {"rows": 3, "holes": {"V:A": [FIRST_US]}},
        {"rows": 4, "holes": {"V:A": [FIRST_US + DAY_US], "V:B": [FIRST_US]}},
    ]
    assert history.report_holes(iter(reports)) == {
        "rows": 7,
        "chunks": 2,
        "holes": {"V:A": ["2026-03-01", "2026-03-02"], "V:B": ["2026-03-01"]},
    }
    assert caplog.messages == [
        "V:A has no ticks on 2026-03-01, 2026-03-02",
        "V:B has no ticks on 2026-03-01",
    ]


def test_without_chunks_there_are_no_holes(caplog):
    assert history.report_holes([]) == {"rows": 0, "chunks": 0, "holes": {}}
    assert caplog.messages == []
