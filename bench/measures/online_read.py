"""Overhead of our online reader: one-row reads compared with a raw HMGET of the same fields."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio as aioredis

from bench.errors import BenchError
from bench.load import feature_rows
from bench.platform import services
from bench.report.figures import Figure, quantile
from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.windows import LEVELS
from feature_store.online.reader import OnlineReader
from feature_store.online.redis_layout import entity_key
from feature_store.online.store import connect, write_rows

AIM_RATIO = 2.0
SYMBOLS = 100
READS, BLOCK = 10_000, 200
MINUTE_MS = 60_000
# High, so that a pause of a busy machine counts as a slow read, not as an outage.
TIMEOUT_MS = 5_000

Read = Callable[[str], Awaitable[bool]]


@dataclass
class ReadTimes:
    """Wall time of every read in µs, and CPU seconds of this process for all of them."""

    us: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


def measure(scale: float = 1.0) -> list[Figure]:
    """Latency of one-row reads; blocks of ours and raw alternate, to see the same machine load."""
    names = feature_rows.symbols(SYMBOLS)
    with services.run_services(
        ("redis",), redis_timeout_ms=TIMEOUT_MS, feature_read_ms_max=TIMEOUT_MS
    ) as settings:
        newest_ms = now_us() // 1000 // MINUTE_MS * MINUTE_MS
        with connect(settings) as client:
            write_rows(
                client,
                feature_rows.stream(names, LEVELS[-1].tile_s, newest_ms - MINUTE_MS),
                settings,
                now_us(),
            )
        ours, raw = asyncio.run(_alternate(settings, names, max(BLOCK, int(READS * scale))))
    return _figures(ours, raw)


async def _alternate(
    settings: Settings, names: list[str], reads: int
) -> tuple[ReadTimes, ReadTimes]:
    reader = OnlineReader(settings)
    # Any: redis-py's commands are untyped.
    client: Any = aioredis.Redis(host=settings.host, port=settings.redis_port)

    async def read_row(symbol: str) -> bool:
        return (await reader.read([symbol], now_us()))[0].found

    async def read_raw(symbol: str) -> bool:
        values = await client.execute_command("HMGET", entity_key(symbol), *reader.plan.fields)
        return len(values) > 0

    ours, raw = ReadTimes(), ReadTimes()
    try:
        await _run_block(read_row, names, ReadTimes())  # opens connections
        await _run_block(read_raw, names, ReadTimes())
        for _ in range(reads // BLOCK):
            await _run_block(read_raw, names, raw)
            await _run_block(read_row, names, ours)
    finally:
        await reader.close()
        await client.aclose()
    return ours, raw


async def _run_block(read: Read, names: list[str], times: ReadTimes) -> None:
    cpu = time.process_time()
    for number in range(BLOCK):
        began_ns = time.perf_counter_ns()
        found = await read(names[number % len(names)])
        times.us.append((time.perf_counter_ns() - began_ns) / 1000)
        if not found:
            symbol = names[number % len(names)]
            raise BenchError(f"{symbol} has no row in Redis", "see the log of Redis")
    times.cpu_s += time.process_time() - cpu


def _figures(ours: ReadTimes, raw: ReadTimes) -> list[Figure]:
    figures, reads = [], len(ours.us)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours_us, raw_us = quantile(ours.us, share), quantile(raw.us, share)
        figures.append(
            Figure(
                f"one row {name} / raw HMGET",
                ours_us / raw_us,
                "×",
                at_most=AIM_RATIO,
                note=f"{ours_us:.0f} µs against {raw_us:.0f} µs",
            )
        )
    cpu_ours, cpu_raw = (times.cpu_s / reads * 1e6 for times in (ours, raw))
    note = f"{cpu_ours:.0f} µs against {cpu_raw:.0f} µs of this process, {reads:,} reads each"
    figures.append(
        Figure("one row, CPU / raw HMGET", cpu_ours / cpu_raw, "×", at_most=AIM_RATIO, note=note)
    )
    return figures
