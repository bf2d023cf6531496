"""How much our reader adds to Redis itself: one-row reads of the model's features beside a raw
HMGET of the same fields.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio as aioredis

from bench import feature_rows, services
from bench.figures import BenchError, Figure, quantile
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
# A pause of a busy machine is a slow read here, not an outage.
TIMEOUT_MS = 5_000

Read = Callable[[str], Awaitable[bool]]


@dataclass
class Taken:
    """Wall time of every read in µs, and the CPU seconds of this process for all of them."""

    us: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


def measure(scale: float = 1.0) -> list[Figure]:
    """Latency of one-row reads, ours and raw in turns of a block each, so that both see the same
    machine.
    """
    names = feature_rows.symbols(SYMBOLS)
    with services.running(
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


async def _alternate(settings: Settings, names: list[str], reads: int) -> tuple[Taken, Taken]:
    reader = OnlineReader(settings)
    client: Any = aioredis.Redis(
        host=settings.host, port=settings.redis_port
    )  # redis-py leaves commands untyped

    async def one(symbol: str) -> bool:
        return (await reader.read([symbol], now_us()))[0].found

    async def bare(symbol: str) -> bool:
        return (
            len(await client.execute_command("HMGET", entity_key(symbol), *reader.plan.fields)) > 0
        )

    ours, raw = Taken(), Taken()
    try:
        await _block(one, names, Taken())  # connections
        await _block(bare, names, Taken())
        for _ in range(reads // BLOCK):
            await _block(bare, names, raw)
            await _block(one, names, ours)
    finally:
        await reader.close()
        await client.aclose()
    return ours, raw


async def _block(read: Read, names: list[str], taken: Taken) -> None:
    cpu = time.process_time()
    for number in range(BLOCK):
        began_ns = time.perf_counter_ns()
        found = await read(names[number % len(names)])
        taken.us.append((time.perf_counter_ns() - began_ns) / 1000)
        if not found:
            raise BenchError(f"{names[number % len(names)]} is not online", "see the log of Redis")
    taken.cpu_s += time.process_time() - cpu


def _figures(ours: Taken, raw: Taken) -> list[Figure]:
    made, reads = [], len(ours.us)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        mine, bare = quantile(ours.us, share), quantile(raw.us, share)
        made.append(
            Figure(
                f"one row {name} / raw HMGET",
                mine / bare,
                "×",
                at_most=AIM_RATIO,
                note=f"{mine:.0f} µs against {bare:.0f} µs",
            )
        )
    cpu_ours, cpu_raw = (taken.cpu_s / reads * 1e6 for taken in (ours, raw))
    note = f"{cpu_ours:.0f} µs against {cpu_raw:.0f} µs of this process, {reads:,} reads each"
    made.append(
        Figure("one row, CPU / raw HMGET", cpu_ours / cpu_raw, "×", at_most=AIM_RATIO, note=note)
    )
    return made
