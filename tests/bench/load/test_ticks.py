"""Ticks of known number, in known tiles."""

import polars as pl
import pytest

from bench.load.ticks import Chunk
from contracts.messages.parsing import parse
from contracts.tick import Tick
from contracts.units import MINUTE_US
from contracts.windows import LEVELS
from streaming.feeds.tick_frame import encode, reject_reasons

START_US = 1_800_000_000_000_000


@pytest.mark.parametrize(("seconds", "per_tile"), [(1, 3), (61, 5), (130, 100)])
def test_a_chunk_has_the_ticks_tiles_and_rows_it_promises(seconds, per_tile):
    chunk = Chunk(START_US, seconds, per_tile, symbols=4)
    ticks = pl.concat(chunk.frames())
    second = pl.col("event_time_us") // 1_000_000
    per_level = [ticks.select("symbol", second // level.tile_s).n_unique() for level in LEVELS]
    assert (ticks.height, per_level[0], sum(per_level)) == (chunk.ticks, chunk.tiles, chunk.rows)
    assert ticks["trade_id"].n_unique() == chunk.ticks
    assert ticks["event_time_us"].is_sorted()
    assert set(ticks.group_by("symbol", second).len()["len"]) == {per_tile}


def test_a_chunk_is_accepted_whole_and_closed_before_the_next():
    chunk = Chunk(START_US, 70, 5, symbols=2)
    ticks = pl.concat(chunk.frames())
    assert reject_reasons(ticks, chunk.next_us).null_count() == ticks.height
    assert all(isinstance(parse(message, chunk.next_us), Tick) for message in encode(ticks)[:50])
    last_bar_us = -(-(ticks["event_time_us"].max() + 1) // MINUTE_US) * MINUTE_US
    assert last_bar_us < chunk.close_us < chunk.next_us
    assert chunk.next_us % MINUTE_US == 0
