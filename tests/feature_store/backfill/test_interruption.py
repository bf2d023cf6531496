"""A backfill interrupted at any step: every chunk is old or new, and the next run completes it."""

from unittest.mock import patch

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts.durations import DAY_US
from feature_store.backfill import chunks, ledger, staging
from feature_store.backfill import run as backfill
from feature_store.backfill.ledger import Ledger
from feature_store.flink import rest as flink_rest
from lakehouse import leases
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse
from tests.feature_store.backfill.conftest import (
    FIRST_US,
    LAST_US,
    OLD_WARM_S,
    ReferenceFlink,
    stored_rows,
)

FIRST, SECOND = chunks.split(FIRST_US, LAST_US, DAY_US)
STEPS = {
    "stage": (staging, "stage"),
    "submit": (ReferenceFlink, "submit"),
    "wait": (flink_rest, "wait"),
    "list files": (staging, "staged_files"),
    "swap": (staging, "swap"),
    "record": (Ledger, "record"),
}


@pytest.mark.parametrize(("step", "before"), [*((step, True) for step in STEPS), ("record", False)])
def test_every_chunk_is_old_or_new_and_the_next_run_completes_it(
    history, flink, expected, monkeypatch, step, before
):
    owner, name = STEPS[step]
    monkeypatch.setattr(owner, name, interrupt(getattr(owner, name), before=before))
    with pytest.raises(KeyboardInterrupt):
        backfill.run(history, FIRST_US, LAST_US)
    stored = stored_rows(history)
    assert len(stored) == len(expected)
    first = in_chunk(stored, FIRST)["warm_s"] == OLD_WARM_S
    second = in_chunk(stored, SECOND)["warm_s"] == OLD_WARM_S
    assert not first.any(), "it was complete before the interruption"
    assert second.all() or not second.any()
    monkeypatch.undo()
    monkeypatch.setattr(backfill, "Submitter", flink)
    report = backfill.run(history, FIRST_US, LAST_US)
    assert report.computed == ([] if (step, before) == ("record", False) else [SECOND])
    assert_frame_equal(stored_rows(history), expected, check_dtypes=False)
    assert Lakehouse(history).catalog.list_tables(staging.NAMESPACE) == []


def interrupt(function, *, before):
    """The function, interrupted before or after its second call: that of the second chunk."""
    calls = []

    def interrupted(*args, **options):
        calls.append(1)
        if before and len(calls) == 2:
            raise KeyboardInterrupt
        result = function(*args, **options)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return result

    return interrupted


def in_chunk(rows, chunk):
    time_us = pl.col("event_time").dt.epoch("us")
    return rows.filter(time_us.is_between(chunk.from_us, chunk.to_us, closed="left"))


def test_an_interrupt_cancels_the_running_job(history, flink, script):
    def interrupt_while_running(name):
        script.overview = (
            200,
            {"jobs": [{"jid": "j", "name": name, "state": "RUNNING", "start-time": 1}]},
        )
        raise KeyboardInterrupt

    flink.fails = interrupt_while_running
    with pytest.raises(KeyboardInterrupt):
        backfill.run(history, FIRST_US, LAST_US)
    assert script.cancelled >= 1


def test_an_interrupt_while_flink_is_down_is_still_an_interrupt(history, flink, script):
    def interrupt_without_flink(_name):
        script.overview = (500, {})
        raise KeyboardInterrupt

    flink.fails = interrupt_without_flink
    with pytest.raises(KeyboardInterrupt):
        backfill.run(history, FIRST_US, LAST_US)


def test_staging_tables_of_a_killed_run_are_dropped(history, flink):
    staging.stage(Lakehouse(history), "c1_killed")
    backfill.run(history, FIRST_US, LAST_US)
    assert Lakehouse(history).catalog.list_tables(staging.NAMESPACE) == []


def test_what_was_swapped_and_not_recorded_is_computed_again(history, flink, expected):
    backfill.run(history, FIRST_US, LAST_US)
    ledger.clear(history)
    assert len(backfill.run(history, FIRST_US, LAST_US).computed) == 2
    assert_frame_equal(stored_rows(history), expected, check_dtypes=False)


def test_a_run_whose_lease_was_taken_over_changes_nothing_more(history, flink, expected, script):
    """As after a suspended laptop: another run took over while a Flink job was computing."""
    short = history.model_copy(update={"lease_s": 0.2})

    def take_over(_name):
        flink.fails = lambda _: None
        lost = script.cancelled
        with (
            patch.object(leases.Lease, "renew", lambda _: None),
            leases.lease(short, leases.BACKFILL, holder="another run", guarded=(GOLD,)),
        ):
            assert script.cancelled == lost

    flink.fails = take_over
    with patch.object(leases.Lease, "renew", lambda _: None):
        report = backfill.run(short, FIRST_US, LAST_US)
    assert len(report.failed) == 2 and len(flink.names) == 1
    assert all("was taken over by another process" in reason for reason in report.failed.values())
    assert (stored_rows(history)["warm_s"] == OLD_WARM_S).all()
    assert ledger.read_ledger(history).done == {}
