"""Stream = batch = naive oracle, every feature of every row, over pooled random streams."""

import heapq
import time
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from contracts.config.settings import Settings
from contracts.features import COLUMNS
from contracts.messages.encoding import encode
from contracts.windows import LEVELS
from feature_store.backfill import run as backfill
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse
from tests.integration.conftest import eventually, send
from tests.support import oracle
from tests.support.streams import HUGE, LENGTH_S, Character, characters, huge_ticks, ticks

pytestmark = pytest.mark.integration
STREAMS, RUNS = 120, 2  # Hypothesis begins with the plainest market; the seeds differ all the same
SCALE = {column.name: column.scale for column in COLUMNS}
EXACT = {"warm_s", "known_at_us"}
run_number = 0


def next_start_us() -> int:
    """Each run is two hours after the one before, because the job's event time never goes back."""
    global run_number
    run_number += 1
    hour = time.time_ns() // 3_600_000_000_000 - 2 * (RUNS + 2) + 2 * run_number
    return hour * 3_600_000_000


@settings(max_examples=RUNS, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(market=st.lists(characters, min_size=STREAMS, max_size=STREAMS))
def test_stream_equals_batch_equals_oracle(live: Settings, market: list[Character]) -> None:
    start_us = next_start_us()
    names = [f"R{run_number}S{i}" for i in range(STREAMS)]
    streams = {
        name: ticks(replace(c, seed=c.seed + i), name, start_us)
        for i, (name, c) in enumerate(zip(names, market, strict=True))
    }
    for kind, huge in HUGE.items():
        name = f"R{run_number}{kind}"
        streams[name] = huge_ticks(huge, name, start_us)
    merged = heapq.merge(*streams.values(), key=lambda pair: pair[0])
    end_us = start_us + (LENGTH_S + 60) * 1_000_000
    sent = send(
        live, ((tick.key, encode(tick)) for _, tick in merged), start_us, end_us + 2_000_000
    )
    assert sent == sum(map(len, streams.values()))

    expected = {
        f"PROP:{name}": oracle.rows([tick for _, tick in stream])
        for name, stream in streams.items()
    }
    assert any(row.get("overflows_1h") for made in expected.values() for row in made.values())
    wanted = sum(map(len, expected.values()))
    found = lambda: sum(len(read(live, GOLD_LIVE, view.view, start_us, end_us)) for view in LEVELS)  # noqa: E731
    eventually(lambda: found() >= wanted, f"{wanted} feature rows in gold")
    silver = Lakehouse(live).read_ticks(start_us, end_us)
    assert silver["late"].sum() == 0
    assert len(silver) == len(
        {(t.symbol, t.trade_id) for stream in streams.values() for _, t in stream}
    )
    compare(live, GOLD_LIVE, expected, start_us, end_us)
    assert backfill.run(live, start_us, end_us + 1_000_000).failed == {}
    compare(live, GOLD, expected, start_us, end_us)


def read(live: Settings, table: str, view: str, from_us: int, to_us: int) -> pl.DataFrame:
    return Lakehouse(live).read_features(view, from_us + 1, to_us + 1, table=table)


def compare(live: Settings, table: str, expected: dict, from_us: int, to_us: int) -> None:
    """Same rows, same NULLs, exact counts and times, floats within 1e-9·max(|x|, scale)."""
    wrong = []
    for level in LEVELS:
        got = {
            (r["symbol"], r["event_time_us"] // 1_000_000): r
            for r in read(live, table, level.view, from_us, to_us).iter_rows(named=True)
        }
        keys = {
            (symbol, end)
            for symbol, made in expected.items()
            for view, end in made
            if view == level.view
        }
        assert got.keys() == keys, (
            f"{table} {level.view}: rows differ: {sorted(got.keys() ^ keys)[:5]}"
        )
        for (symbol, end), row in got.items():
            wrong += [
                (level.view, symbol, end, name, row[name], value)
                for name, value in expected[symbol][level.view, end].items()
                if not same(name, row[name], value)
            ]
    assert not wrong, f"{table}: {len(wrong)} values differ, e.g. {wrong[:5]}"


def same(name: str, got: float | None, value: float | None) -> bool:
    if got is None or value is None or name in EXACT:
        return got == value
    return abs(got - value) <= 1e-9 * max(abs(value), SCALE[name])
