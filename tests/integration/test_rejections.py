"""`tick replay` with a live job: slow motion arrives, refusals are counted and give exit code 1."""

from dataclasses import replace as changed
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Producer

from contracts.clock import now_us
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.tick import Reason
from contracts.topics import TICKS
from lakehouse.tables import Lakehouse
from streaming.feeds import open_feed
from streaming.feeds.formats import canonical
from streaming.replay import position as positions
from streaming.replay.position import Position
from streaming.synthetic.market import FIXTURE, generate
from tests.integration.conftest import eventually
from tests.streaming.replay.test_replay import START_US, command, finish

pytestmark = pytest.mark.integration
HOUR_US = 3_600_000_000
SYMBOLS = [f"SLOW:{symbol}" for symbol in FIXTURE.symbols]


def write_ticks(file: Path, seconds: float, *starts_us: int) -> list[int]:
    """Write synthetic ticks of venue SLOW from each start to one file; returns their counts."""
    parts = [
        pl.concat(list(generate(changed(FIXTURE, venue="SLOW", rate=20.0), start, seconds)))
        for start in starts_us
    ]
    canonical.write(file, iter([pl.concat(parts)]))
    return [part.height for part in parts]


def stored(settings: Settings, since_us: int) -> int:
    return Lakehouse(settings).read_ticks(since_us, now_us() + HOUR_US, SYMBOLS).height


def test_slow_motion_is_accepted(live: Settings, tmp_path: Path) -> None:
    (count,) = write_ticks(tmp_path / "ticks.parquet", 3, START_US)
    since_us = now_us()
    code, said = finish(
        command(live, "replay", tmp_path / "ticks.parquet", "--as-live", "--speed", "0.6")
    )
    assert code == 0, said
    assert "1.67 times" in said and "refused" not in said and "not validated" not in said
    eventually(lambda: stored(live, since_us) == count, "every tick in silver")


def test_refused_ticks_are_counted_and_end_in_exit_code_1(live: Settings, tmp_path: Path) -> None:
    """A position file that moves half of a feed two hours ahead simulates a wrong clock."""
    file = tmp_path / "ticks.parquet"
    accepted, refused = write_ticks(file, 20, START_US, START_US + 2 * HOUR_US)
    feed, now = open_feed([file]), now_us()
    first_us = now - 60_000_000
    saved = Position(
        feed.fingerprint,
        0,
        first_us - START_US,
        first_us,
        now,
        speed=0.0,
        follows_clock=True,
        id_suffix="ahead",
    )
    positions.save(live.root / "replay" / f"{feed.fingerprint}.json", saved)
    stranger = Producer(connections.kafka(live))  # its dead letters are not this replay's
    for partition in range(TICKS.partitions):
        stranger.produce(TICKS.name, b"{", partition=partition)
    assert stranger.flush(30) == 0
    code, said = finish(command(live, "replay", file, "--resume"))
    assert code == 1, said
    kinds = f"{Reason.TIME_OUT_OF_BOUNDS} {refused:,}"
    words = " ".join(said.split())
    assert f"the live job rejected {refused:,} of {accepted + refused:,} ticks: {kinds}" in words
    assert f"tick dead-letters list --reason {Reason.TIME_OUT_OF_BOUNDS}" in words
