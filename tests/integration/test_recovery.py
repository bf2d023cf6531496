"""Each tick is stored exactly once despite killed processes, a savepoint and `tick down`."""

import heapq
import os
import signal
from pathlib import Path

import pytest
from pyiceberg.expressions import EqualTo

from contracts.clock import now_us
from contracts.config import paths
from contracts.config.settings import Settings
from contracts.durations import MINUTE_US
from contracts.messages.encoding import encode
from contracts.tick import Tick
from feature_store.flink import rest as flink_rest
from lakehouse.schemas import GOLD_LIVE, SILVER
from lakehouse.tables import Lakehouse
from stack import platform as stack_platform
from streaming.job import job
from streaming.job import states as job_states
from tests.integration.conftest import eventually, send
from tests.integration.test_parity import compare, read
from tests.support import oracle
from tests.support.streams import LENGTH_S, Character, ticks

pytestmark = pytest.mark.integration
CHARACTER = Character(
    seed=3,
    price=60_000.0,
    step=1e-6,
    size=0.01,
    ticks=160,
    burst=2,
    duplicates=0.1,
    gap_s=0,
    spike=1.0,
    print_size=0.0,
)
SYMBOLS = 12


def kill(settings: Settings, service: str) -> None:
    row = next(r for r in stack_platform.status(settings, now_us() / 1e6) if r.name == service)
    assert row.pid is not None
    os.kill(row.pid, signal.SIGKILL)


def silver_rows(settings: Settings, start_us: int, end_us: int) -> int:
    return Lakehouse(settings).count_ticks(start_us, end_us).rows


def test_nothing_is_lost_when_processes_are_killed(live: Settings) -> None:
    start_us = (now_us() // 60_000_000 - LENGTH_S // 60 - 4) * 60_000_000
    streams = {
        f"K{i}": ticks(CHARACTER.__class__(**{**vars(CHARACTER), "seed": i}), f"K{i}", start_us)
        for i in range(SYMBOLS)
    }
    merged = list(heapq.merge(*streams.values(), key=lambda pair: pair[0]))
    end_us = start_us + (LENGTH_S + 60) * 1_000_000
    parts = [merged[i * len(merged) // 3 : (i + 1) * len(merged) // 3] for i in range(3)]
    messages = [[(tick.key, encode(tick)) for _, tick in part] for part in parts]

    send(live, messages[0], start_us, parts[0][-1][1].event_time_us - 1_000_000)
    eventually(lambda: silver_rows(live, start_us, end_us) > 0, "the first ticks in silver")
    kill(live, "taskmanager")
    send(
        live,
        messages[1],
        parts[1][0][1].event_time_us - 1_000_000,
        parts[1][-1][1].event_time_us - 1_000_000,
    )
    stack_platform.up(live)
    eventually(
        lambda: silver_rows(live, start_us, end_us) >= len(parts[0]) + len(parts[1]),
        "silver after the TaskManager was killed",
    )

    job.stop(live)
    job.resume(live)
    eventually(lambda: job.status(live)["checkpoints"] > 0, "a checkpoint of the resumed job")
    kill(live, "jobmanager")
    stack_platform.up(live)
    job.resume(live)
    send(live, messages[2], parts[2][0][1].event_time_us - 1_000_000, end_us + 2_000_000)

    expected = {
        f"PROP:{name}": oracle.rows([tick for _, tick in stream])
        for name, stream in streams.items()
    }
    wanted = sum(1 for made in expected.values() for view, _ in made if view == "tick_1m")
    eventually(
        lambda: silver_rows(live, start_us, end_us) >= len(merged),
        "silver after the JobManager was killed",
    )
    count = Lakehouse(live).count_ticks(start_us, end_us)
    duplicates = len(merged) - len({(t.symbol, t.trade_id) for _, t in merged})
    assert (count.rows, count.rows - count.distinct, count.late) == (len(merged), duplicates, 0)
    eventually(
        lambda: len(read(live, GOLD_LIVE, "tick_1m", start_us, end_us)) >= wanted,
        "the last minute bars",
    )
    compare(live, GOLD_LIVE, expected, start_us, end_us)


def test_a_job_is_resumed_from_its_newest_checkpoint_after_tick_down(live: Settings) -> None:
    start_us = (now_us() // MINUTE_US - 2) * MINUTE_US
    ticks = [trade(n, start_us + n * 50_000) for n in range(900)]
    part_us = [start_us + n * 50_000 for n in (0, 300, 600, 900)]
    parts = [[(tick.key, encode(tick)) for tick in ticks[n : n + 300]] for n in (0, 300, 600)]
    send(live, parts[0], part_us[0], part_us[1])
    eventually(lambda: len(stored_ids(live)) > 0, "the first ticks in silver")
    job_id = flink_rest.running_job(live, job.NAME)
    config = flink_rest.call(live, f"/jobs/{job_id}/checkpoints/config")
    oldest, _ = [plant_state(live, digit) for digit in "01"]

    send(live, parts[1], part_us[1], part_us[2])  # on their way when everything stops
    stack_platform.down(live)
    newest = job_states.newest_state(live)
    assert newest is not None and newest.parent.name == job_id, f"{job_id} left {newest}"
    stack_platform.up(live)
    job.resume(live)
    # No bar stays open: a job that starts afresh would drop it.
    send(live, parts[2], part_us[2], start_us + MINUTE_US + 2_000_000)

    eventually(lambda: len(stored_ids(live)) >= len(ticks), "silver after `tick down`")
    assert sorted(stored_ids(live)) == sorted(tick.trade_id for tick in ticks)
    assert config["externalization"] == {"enabled": True, "delete_on_cancellation": False}
    assert newest.exists() and not oldest.exists(), "old states are pruned, the one in use stays"


def trade(number: int, event_time_us: int) -> Tick:
    name = f"DOWN{number % SYMBOLS}"
    return Tick("STOP", name, event_time_us, event_time_us, 100.0, 1.0, 1, f"d{number}", number)


def stored_ids(settings: Settings) -> list[str]:
    silver = Lakehouse(settings).table(SILVER)
    rows = silver.scan(row_filter=EqualTo("venue", "STOP"), selected_fields=("trade_id",))
    return [str(name) for name in rows.to_arrow()["trade_id"].to_pylist()]


def plant_state(settings: Settings, digit: str) -> Path:
    """A checkpoint of a job of 1970; a smaller digit is an older one."""
    folder = paths.checkpoints(settings) / (digit * 32)
    metadata = folder / "chk-1" / "_metadata"
    metadata.parent.mkdir(parents=True)
    metadata.touch()
    os.utime(metadata, (int(digit) + 1, int(digit) + 1))
    return folder
