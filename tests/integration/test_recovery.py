"""kill -9 of the TaskManager in the middle of a feed, a savepoint, a lost JobManager: nothing is lost, nothing counts twice."""

import heapq
import os
import signal

import pytest

from contracts.clock import now_us
from contracts.settings import Settings
from contracts.wire import encode
from feature_store import lakehouse
from feature_store.tables import GOLD_LIVE
from stack import platform as stack_platform
from streaming import job
from tests import oracle
from tests.integration.conftest import eventually, send
from tests.integration.test_parity import compare, read
from tests.streams import LENGTH_S, Character, ticks

pytestmark = pytest.mark.integration
CHARACTER = Character(seed=3, price=60_000.0, step=1e-6, size=0.01, ticks=160, burst=2, copies=0.1, gap_s=0, spike=1.0, print_size=0.0)
SYMBOLS = 12


def kill(settings: Settings, service: str) -> None:
    row = next(r for r in stack_platform.status(settings, now_us() / 1e6) if r.name == service)
    assert row.pid is not None
    os.kill(row.pid, signal.SIGKILL)


def silver_rows(settings: Settings, start_us: int, end_us: int) -> int:
    return lakehouse.count_ticks(settings, start_us, end_us).rows


def test_nothing_is_lost_when_processes_are_killed(live: Settings) -> None:
    start_us = (now_us() // 60_000_000 - LENGTH_S // 60 - 4) * 60_000_000
    streams = {f"K{i}": ticks(CHARACTER.__class__(**{**vars(CHARACTER), "seed": i}), f"K{i}", start_us) for i in range(SYMBOLS)}
    merged = list(heapq.merge(*streams.values(), key=lambda pair: pair[0]))
    end_us = start_us + (LENGTH_S + 60) * 1_000_000
    parts = [merged[i * len(merged) // 3 : (i + 1) * len(merged) // 3] for i in range(3)]
    messages = [[(tick.key, encode(tick)) for _, tick in part] for part in parts]

    send(live, messages[0], start_us, parts[0][-1][1].event_time_us - 1_000_000)
    eventually(lambda: silver_rows(live, start_us, end_us) > 0, "the first ticks in silver")
    kill(live, "taskmanager")
    send(live, messages[1], parts[1][0][1].event_time_us - 1_000_000, parts[1][-1][1].event_time_us - 1_000_000)
    stack_platform.up(live)
    eventually(lambda: silver_rows(live, start_us, end_us) >= len(parts[0]) + len(parts[1]), "silver after the TaskManager was killed")

    job.stop(live)
    job.resume(live)
    eventually(lambda: job.status(live)["checkpoints"] > 0, "a checkpoint of the resumed job")
    kill(live, "jobmanager")
    stack_platform.up(live)
    job.resume(live)
    send(live, messages[2], parts[2][0][1].event_time_us - 1_000_000, end_us + 2_000_000)

    expected = {f"PROP:{name}": oracle.rows([tick for _, tick in stream]) for name, stream in streams.items()}
    wanted = sum(1 for made in expected.values() for view, _ in made if view == "tick_1m")
    eventually(lambda: silver_rows(live, start_us, end_us) >= len(merged), "silver after the JobManager was killed")
    count = lakehouse.count_ticks(live, start_us, end_us)
    copies = len(merged) - len({(t.symbol, t.trade_id) for _, t in merged})
    assert (count.rows, count.rows - count.distinct, count.late) == (len(merged), copies, 0)
    eventually(lambda: len(read(live, GOLD_LIVE, "tick_1m", start_us, end_us)) >= wanted, "the last minute bars")
    compare(live, GOLD_LIVE, expected, start_us, end_us)
