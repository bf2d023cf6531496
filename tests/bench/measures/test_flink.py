"""Cost per tick and per tile of the live job, from measured chunks."""

import psutil
import pytest

from bench.cost.jvm import jit_s
from bench.cost.live_job import ChunkCost
from bench.load.ticks import Chunk
from bench.measures import flink
from contracts.durations import MINUTE_US

START_US = 1_800_000_000_000_000


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0])
def test_the_plan_of_the_live_job_is_in_the_past_without_overlap(scale):
    chunks = flink.chunks(START_US, scale)
    assert all(
        earlier.next_us == later.start_us
        for earlier, later in zip(chunks, chunks[1:], strict=False)
    )
    assert START_US - 2 * MINUTE_US < chunks[-1].next_us <= START_US
    _, _, *pairs = chunks
    assert all(
        short.ticks < long.ticks and short.per_tile == long.per_tile
        for short, long in (pairs[:2], pairs[2:])
    )


def test_ticks_and_tiles_are_separated_by_density():
    tick_us, tile_us = 3.0, 100.0
    dense_us, sparse_us = (tick_us + tile_us / density for density in (flink.DENSE, flink.SPARSE))
    figures = {
        figure.what: figure.value
        for figure in flink.figures(dense_us, sparse_us, 1.0, 1.5, 0.1, [])
    }
    assert figures["a tile, all windows"] == pytest.approx(tile_us)
    assert figures["a tick without its tile"] == pytest.approx(tick_us)
    assert figures[f"ticks at {flink.DENSE} a tile"] == pytest.approx(250_000)


def test_the_compiler_of_the_jvm_is_reported_separately():
    short, long = (
        ChunkCost(Chunk(START_US, seconds, 10, 1), 2.0 * seconds, 1.0 * seconds, [], [])
        for seconds in (1, 3)
    )
    assert flink._marginal_us(short, long) == pytest.approx(0.2e6) and flink._marginal_us(
        short, long, jit=True
    ) == pytest.approx(0.1e6)
    assert jit_s(psutil.Process()) == 0.0, (
        "no thread of this process is called like a compiler of the JVM"
    )
