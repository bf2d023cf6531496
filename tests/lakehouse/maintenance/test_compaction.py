"""Compaction on real tables: no row changes, also while others commit; memory is bounded."""

from dataclasses import replace
from pathlib import Path

import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from pyiceberg.types import LongType
from tenacity import wait_none

from contracts.config.settings import Settings
from contracts.progress import silent
from lakehouse import tables
from lakehouse.commits import ATTEMPTS
from lakehouse.maintenance import compaction
from lakehouse.maintenance.compaction import Compacted, CompactionRule, compact
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse
from tests.support.small_files import (
    DAY_US,
    LATER_US,
    RULE,
    START_US,
    append_features,
    crowd,
    data_files,
    rows,
    table,
    ticks,
)


@pytest.fixture
def lake(tmp_path):
    """A lakehouse without rows."""
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    return made


@pytest.fixture
def before_first_commit(monkeypatch):
    """Runs a function between the first read of the base of a commit and the commit."""

    def install(action):
        transaction = Table.transaction

        def begin(table):
            monkeypatch.setattr(Table, "transaction", transaction)
            begun = transaction(table)
            action()
            return begun

        monkeypatch.setattr(compaction._replace.retry, "wait", wait_none())
        monkeypatch.setattr(Table, "transaction", begin)

    return install


def test_compacting_silver_merges_each_day_and_changes_no_row(lake):
    crowd(lake)
    Lakehouse(lake).append_ticks(ticks(0, day=2))  # one file: not crowded
    before = rows(lake)
    assert compact(Lakehouse(lake), RULE, silent).partitions == 2
    assert rows(lake) == before
    assert table(lake).inspect.files().num_rows == 3
    assert compact(Lakehouse(lake), RULE, silent) == Compacted()


def test_compacting_gold_merges_each_day_and_view_apart(lake):
    for number in range(3):
        for day in (0, 1):
            append_features(lake, number, day)
    before, steps = rows(lake, GOLD), []
    assert compact(Lakehouse(lake), RULE, lambda *step: steps.append(step)).partitions == 4
    assert rows(lake, GOLD) == before
    assert steps == [(GOLD, done, 4) for done in (1, 2, 3, 4)]
    merged = table(lake, GOLD).inspect.files().to_pylist()
    assert (
        sorted((file["record_count"], file["partition"]["view"]) for file in merged)
        == [(3, "tick_1m")] * 2 + [(3, "tick_1s")] * 2
    )


def test_a_commit_during_a_compaction_is_kept_and_only_the_commit_is_repeated(
    lake, monkeypatch, before_first_commit
):
    crowd(lake)
    writes, write = [], compaction._write_rows
    monkeypatch.setattr(compaction, "_write_rows", lambda *a: (writes.append(1), write(*a))[1])
    before_first_commit(lambda: Lakehouse(lake).append_ticks(ticks(7, day=0)))
    assert compact(Lakehouse(lake), RULE, silent).partitions == 2
    assert len(writes) == 2, "the rows of each day are read and written once"
    assert len(rows(lake)) == 70
    assert table(lake).inspect.files().num_rows == 3, "one per day, and the new one"


def test_a_group_whose_files_another_writer_deleted_is_skipped_and_the_others_are_merged(
    lake, before_first_commit
):
    crowd(lake)

    def delete_rows_of_the_first_day():
        with tables.ignore_row_group_warning():
            table(lake).delete(EqualTo("trade_id", "0-0-0"))

    before_first_commit(delete_rows_of_the_first_day)
    result = compact(Lakehouse(lake), RULE, silent)
    assert (result.partitions, result.skipped_groups) == (1, 1)
    assert sorted(row["trade_id"] for row in rows(lake)) == sorted(
        f"{number}-{day}-{i}"
        for number in range(3)
        for day in (0, 1)
        for i in range(10)
        if (number, day, i) != (0, 0, 0)
    )
    referenced = {task.file.file_path for task in table(lake).scan().plan_files()}
    assert len(data_files(lake) - {Path(path.removeprefix("file://")) for path in referenced}) == 4


def test_a_group_that_always_conflicts_is_skipped_after_the_last_attempt(lake, monkeypatch):
    crowd(lake)
    attempts, before = [], data_files(lake)

    def conflict(_table):
        attempts.append(1)
        raise CommitFailedException("another writer was first")

    monkeypatch.setattr(compaction._replace.retry, "wait", wait_none())
    monkeypatch.setattr(Table, "transaction", conflict)
    assert compact(Lakehouse(lake), RULE, silent) == Compacted(skipped_groups=2)
    assert len(attempts) == 2 * ATTEMPTS
    assert data_files(lake) == before, "what it wrote is deleted"


def test_only_days_that_have_ended_are_compacted(lake):
    crowd(lake)
    second_day_us = START_US + DAY_US
    for at_us, partitions in ((second_day_us - 1, 0), (second_day_us, 1), (LATER_US, 1)):
        rule = replace(RULE, closed_before_us=at_us)
        assert compact(Lakehouse(lake), rule, silent).partitions == partitions


def test_a_partition_with_a_new_file_waits(lake):
    crowd(lake)
    newest_us = table(lake).current_snapshot().timestamp_ms * 1000
    assert compact(Lakehouse(lake), replace(RULE, quiet_before_us=1), silent) == Compacted()
    rule = replace(RULE, quiet_before_us=newest_us + 1000)
    assert compact(Lakehouse(lake), rule, silent).partitions == 2


def test_a_group_never_has_more_bytes_than_the_rule_allows(lake, monkeypatch):
    for number in range(7):
        Lakehouse(lake).append_ticks(ticks(number))
    before = rows(lake)
    largest = max(file.stat().st_size for file in data_files(lake))
    groups, write = [], compaction._write_rows

    def record(table, tasks):
        groups.append([task.file.file_size_in_bytes for task in tasks])
        return write(table, tasks)

    monkeypatch.setattr(compaction, "_write_rows", record)
    rule = CompactionRule(files_max=2, group_bytes=3 * largest)
    result = compact(Lakehouse(lake), rule, silent)
    assert [len(group) for group in groups] == [3, 3]
    assert all(sum(group) <= rule.group_bytes for group in groups)
    assert (result.partitions, result.files_before, result.files_after) == (1, 6, 2)
    assert rows(lake) == before


def test_files_of_at_least_half_a_group_are_left_alone(lake):
    crowd(lake)
    smallest = min(file.stat().st_size for file in data_files(lake))
    rule = CompactionRule(files_max=2, group_bytes=2 * smallest)
    assert compact(Lakehouse(lake), rule, silent) == Compacted()


def test_files_written_before_a_column_was_added_are_merged(lake):
    crowd(lake)
    with table(lake).update_schema() as update:
        update.add_column("added", LongType())
    assert compact(Lakehouse(lake), RULE, silent).partitions == 2
    assert {row["added"] for row in rows(lake)} == {None}
    assert len(rows(lake)) == 60


def test_a_dry_compaction_counts_and_changes_nothing(lake):
    crowd(lake)
    before = table(lake).metadata_location
    assert compact(Lakehouse(lake), RULE, silent, dry=True) == Compacted(2, 6, 2)
    assert table(lake).metadata_location == before
    assert compact(Lakehouse(lake), RULE, silent) == Compacted(2, 6, 2)


def test_the_rule_of_the_maintenance_leaves_today_to_the_live_job(lake):
    rule = CompactionRule.of_closed_partitions(lake, LATER_US)
    assert rule == CompactionRule(8, 32 * 2**20, LATER_US, LATER_US - 3_600_000_000)
