"""Ticks of known number, in known tiles."""

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load import ticks as tick_load
from bench.load.ticks import END, FRAME_TICKS, Chunk
from contracts.durations import MINUTE_US, SECOND_US
from contracts.messages.parsing import parse
from contracts.tick import Reason, Tick
from contracts.topics import TICKS
from contracts.windows import LEVELS
from streaming.feeds.tick_frame import encode, reject_reasons

START_US = 1_800_000_000_000_000
CHUNKS = st.builds(
    Chunk,
    st.integers(0, 1000).map(lambda minute: START_US + minute * MINUTE_US),
    st.integers(1, 200),
    st.integers(1, 9),
    st.integers(1, 5),
)


def all_ticks(chunk):
    return pl.concat(chunk.frames())


@pytest.mark.parametrize(("seconds", "per_tile"), [(1, 3), (61, 5), (130, 100)])
def test_a_chunk_has_the_ticks_tiles_and_rows_it_promises(seconds, per_tile):
    chunk = Chunk(START_US, seconds, per_tile, symbols=4)
    ticks = all_ticks(chunk)
    second = pl.col("event_time_us") // SECOND_US
    per_level = [ticks.select("symbol", second // level.tile_s).n_unique() for level in LEVELS]
    assert (ticks.height, per_level[0], sum(per_level)) == (chunk.ticks, chunk.tiles, chunk.rows)
    assert ticks["trade_id"].n_unique() == chunk.ticks
    assert ticks["event_time_us"].is_sorted()
    assert set(ticks.group_by("symbol", second).len()["len"]) == {per_tile}


def test_a_chunk_is_accepted_whole_and_closed_before_the_next():
    chunk = Chunk(START_US, 70, 5, symbols=2)
    ticks = all_ticks(chunk)
    assert reject_reasons(ticks, chunk.next_us).null_count() == ticks.height
    assert all(isinstance(parse(message, chunk.next_us), Tick) for message in encode(ticks)[:50])
    last_bar_us = -(-(ticks["event_time_us"].max() + 1) // MINUTE_US) * MINUTE_US
    assert last_bar_us < chunk.close_us < chunk.next_us
    assert chunk.next_us % MINUTE_US == 0


@given(CHUNKS)
@settings(max_examples=25)
def test_any_chunk_is_counted_exactly(chunk):
    ticks = all_ticks(chunk)
    assert ticks.height == chunk.ticks
    assert ticks["symbol"].n_unique() == chunk.symbols
    assert ticks.select("trade_id", "symbol").n_unique() == chunk.ticks


@given(CHUNKS)
@settings(max_examples=25)
def test_all_ticks_are_within_the_seconds_of_the_chunk(chunk):
    times_us = all_ticks(chunk)["event_time_us"]
    assert chunk.start_us <= times_us.min()
    assert times_us.max() < chunk.start_us + chunk.seconds * SECOND_US


@given(CHUNKS)
@settings(max_examples=25)
def test_prices_and_sizes_are_positive_and_sides_known(chunk):
    ticks = all_ticks(chunk)
    assert ticks["price"].min() > 0
    assert ticks["size"].min() >= 1e-5
    assert set(ticks["side"]) <= {-1, 1}
    assert (ticks["ingest_time_us"] - ticks["event_time_us"]).unique().to_list() == [10_000]


def test_a_chunk_is_the_same_each_time_and_another_one_differs():
    chunk = Chunk(START_US, 10, 3, symbols=2)
    assert all_ticks(chunk).equals(all_ticks(chunk))
    later = Chunk(chunk.next_us, 10, 3, symbols=2)
    assert not all_ticks(later)["price"].equals(all_ticks(chunk)["price"])


def test_ids_of_two_chunks_never_collide():
    first = Chunk(START_US, 10, 3, symbols=2)
    second = Chunk(first.next_us, 10, 3, symbols=2)
    assert set(all_ticks(first)["trade_id"]).isdisjoint(all_ticks(second)["trade_id"])


@pytest.mark.parametrize("per_tile", [1, 100, FRAME_TICKS])
def test_frames_are_bounded_in_memory(per_tile):
    chunk = Chunk(START_US, 3 * FRAME_TICKS // per_tile + 1, per_tile, symbols=1)
    heights = [frame.height for frame in chunk.frames()]
    assert max(heights) <= max(FRAME_TICKS, per_tile)
    assert sum(heights) == chunk.ticks


@pytest.mark.parametrize(("seconds", "minutes"), [(1, 2), (59, 2), (60, 2), (61, 3), (120, 3)])
def test_the_next_chunk_starts_after_the_last_bar_and_its_heartbeat(seconds, minutes):
    chunk = Chunk(START_US, seconds, 1, symbols=1)
    assert chunk.next_us == START_US + minutes * MINUTE_US


class Recorder:
    """Records what a producer was given, in place of Kafka."""

    def __init__(self):
        self.sent = []
        self.flushed = []

    def __call__(self, options):
        self.options = options
        return self

    def produce(self, topic, value, partition):
        self.sent.append((topic, partition, value))

    def flush(self, timeout_s):
        self.flushed.append((len(self.sent), timeout_s))


@pytest.fixture
def producer(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(tick_load, "Producer", recorder)
    return recorder


def test_a_message_reaches_every_partition_and_is_flushed(producer, free_settings):
    tick_load.to_every_partition(free_settings, END)
    assert producer.sent == [(TICKS.name, number, END) for number in range(TICKS.partitions)]
    assert producer.flushed == [(TICKS.partitions, tick_load.FLUSH_S)]


def test_the_end_of_a_chunk_becomes_a_dead_letter():
    assert parse(END, START_US).reason is Reason.MALFORMED_JSON


def test_the_heartbeat_closes_every_bar_of_the_chunk(producer, free_settings):
    chunk = Chunk(START_US, 61, 1, symbols=1)
    tick_load.send_heartbeat(free_settings, chunk)
    _, _, message = producer.sent[0]
    assert orjson.loads(message)["event_time_us"] == chunk.close_us
    assert parse(message, chunk.next_us).detail == "heartbeat"
