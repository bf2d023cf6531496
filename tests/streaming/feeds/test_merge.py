"""Merging files by event time: order, completeness, and files that are opened late."""

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.tick import Reason, Rejected
from streaming.feeds.merge import merge
from streaming.feeds.tick_frame import conform
from streaming.feeds.types import Batch, FeedReject

times = st.lists(st.integers(0, 20), min_size=1, max_size=6)
files_of_batches = st.lists(st.lists(times, min_size=1, max_size=4), min_size=1, max_size=4)


def batch(file: int, first_row: int, times_us: list[int], **fields) -> Batch:
    rows = range(first_row, first_row + len(times_us))
    frame = pl.DataFrame(
        {"symbol": [f"F{file}"] * len(times_us), "event_time_us": times_us, "seq": list(rows)},
        schema={"symbol": pl.String, "event_time_us": pl.Int64, "seq": pl.Int64},
    )
    return Batch(conform(frame), pl.Series(list(rows), dtype=pl.Int64), **fields)


def batches(file: int, content: list[list[int]]):
    row = 0
    for times_us in content:
        yield batch(file, row, times_us)
        row += len(times_us)


def merge_all(files: list[list[list[int]]]) -> list[tuple[int, str, int]]:
    openers = [
        (content[0][0], lambda file=file, content=content: batches(file, content))
        for file, content in enumerate(files)
    ]
    return [
        row
        for merged in merge(openers)
        for row in merged.ticks.select("event_time_us", "symbol", "seq").rows()
    ]


@settings(max_examples=40)
@given(files_of_batches)
def test_every_row_comes_once_and_each_file_keeps_its_order(files):
    rows = merge_all(files)
    for file, content in enumerate(files):
        own = [(at, seq) for at, symbol, seq in rows if symbol == f"F{file}"]
        assert own == [(at, seq) for seq, at in enumerate(sum(content, []))]


@settings(max_examples=40)
@given(files_of_batches)
def test_sorted_files_make_one_sorted_stream(files):
    ordered = []
    for content in files:
        flat = iter(sorted(sum(content, [])))
        ordered.append([[next(flat) for _ in part] for part in content])
    merged = [at for at, _, _ in merge_all(ordered)]
    assert merged == sorted(merged)


def test_equal_times_keep_the_order_of_the_files():
    assert [symbol for _, symbol, _ in merge_all([[[5, 5]], [[5]], [[5]]])] == [
        "F0",
        "F0",
        "F1",
        "F2",
    ]


def test_a_file_is_opened_only_when_its_first_time_is_reached():
    opened = []

    def opener(file: int, content: list[list[int]]):
        def open_file():
            opened.append(file)
            return batches(file, content)

        return content[0][0], open_file

    stream = merge([opener(2, [[30]]), opener(0, [[1], [12], [31]]), opener(1, [[10]])])
    reached = []
    for part in stream:
        reached += [(at, len(opened)) for at in part.ticks["event_time_us"]]
    assert reached[0] == (1, 1)
    assert opened == [0, 1, 2]
    assert [at for at, _ in reached] == [1, 10, 12, 30, 31]


def test_rejects_and_counts_pass_even_from_a_file_without_ticks():
    reject = FeedReject("a.csv", 3, Rejected(Reason.INVALID_FIELD, b"x"))
    only_rejects = batch(0, 0, [], rejected=[reject], skipped=Counter(blank=2), sides_inferred=1)
    merged = list(merge([(0, lambda: iter([only_rejects])), (0, lambda: batches(1, [[1]]))]))
    assert [each.rejected for each in merged if each.rejected] == [[reject]]
    assert sum((each.skipped for each in merged), Counter()) == Counter(blank=2)
    assert sum(each.sides_inferred for each in merged) == 1
    assert sum(each.ticks.height for each in merged) == 1


def test_a_batch_of_several_ticks_counts_its_items_once():
    reject = FeedReject("a.csv", 3, Rejected(Reason.INVALID_FIELD, b"x"))
    merged = list(merge([(0, lambda: iter([batch(0, 0, [1, 2], rejected=[reject])]))]))
    assert sum(each.items for each in merged) == 3


def test_without_files_there_is_nothing():
    assert list(merge([])) == [] and list(merge([(0, lambda: iter([]))])) == []
