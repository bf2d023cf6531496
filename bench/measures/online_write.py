"""Throughput of the online writer's guarded write, compared with Feast's on the same Redis."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson
import polars as pl

from bench.cost.process import Cost, cpu_s, measure_cost
from bench.errors import BenchError
from bench.load import feature_rows
from bench.platform import services
from bench.report.figures import Figure
from contracts.clock import now_us
from contracts.config.groups.redis import RedisSettings
from contracts.config.settings import Settings
from contracts.windows import LEVELS
from feature_store.feast_repo import objects as feast_objects
from feature_store.online.store import OnlineTable, Row, connect, encode_row

AIM_PER_S = 30_000
SYMBOLS, SECONDS = 200, 300
FEAST_ROWS, FEAST_SINGLES = 1000, 20
MINUTE_MS = 60_000


def measure(scale: float = 1.0) -> list[Figure]:
    """Rows per second into a real Redis with an append-only file, in the writer's batches."""
    seconds = max(1, int(SECONDS * scale))
    start_ms = (now_us() // 1000 // MINUTE_MS - seconds // 60 - 2) * MINUTE_MS
    names = feature_rows.symbols(SYMBOLS)
    with services.run_services(("redis",)) as settings:
        messages = [orjson.dumps(row) for row in feature_rows.stream(names, seconds, start_ms)]
        with measure_cost() as encoding:
            encoded = [encode_row(orjson.loads(message)) for message in messages]
        writing, redis_s = _write(settings, encoded)
        many, singles = _feast(settings, names, start_ms, max(1, int(FEAST_ROWS * scale)))
    return _figures(len(encoded), encoding, writing, redis_s, many, singles)


def _write(settings: Settings, rows: list[Row]) -> tuple[Cost, float]:
    """The cost of writing on the client's side, and the CPU seconds of Redis."""
    server = services.process(settings, "redis")
    with connect(settings) as client:
        table = OnlineTable(client, settings)
        table.write(rows[:10], now_us() // 1000)  # loads the scripts
        before_s = cpu_s(server)
        with measure_cost() as cost:
            written = sum(
                table.write(batch, now_us() // 1000).written
                for batch in _batches(rows, settings.writer_batch_rows)
            )
        used_s = cpu_s(server) - before_s
    if written != len(rows):
        raise BenchError(
            f"{written} of {len(rows)} rows were written",
            "the rows must be newer than those in Redis",
        )
    return cost, used_s


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch


def _feast(
    settings: RedisSettings, names: list[str], start_ms: int, count: int
) -> tuple[float, float]:
    """Rows per second of Feast: `count` in one call, and one by one; only rows of the 1 s view."""
    feast_objects.apply(settings)
    store, level = feast_objects.store(settings), LEVELS[0]
    seconds = -(-(count + FEAST_SINGLES) // len(names)) + 1
    rows = (
        row
        for row in feature_rows.stream(names, seconds, start_ms + 3600 * 1000)
        if row["view"] == level.view
    )
    frame = _frame(islice(rows, count + FEAST_SINGLES))
    store.write_to_online_store(level.view, frame[:1])  # opens registry and connection
    with measure_cost() as many:
        store.write_to_online_store(level.view, frame[:count])
    with measure_cost() as singles:
        for at in range(count, count + FEAST_SINGLES):
            store.write_to_online_store(level.view, frame[at : at + 1])
    return count / many.wall_s, FEAST_SINGLES / singles.wall_s


def _frame(rows: Iterable[dict[str, Any]]) -> Any:
    """The rows as the pandas frame that Feast expects."""
    frame = pl.DataFrame(list(rows), infer_schema_length=None).drop("view")
    stamp = (
        pl.from_epoch("event_time_ms", time_unit="ms")
        .dt.replace_time_zone("UTC")
        .alias("event_timestamp")
    )
    return frame.with_columns(stamp).drop("event_time_ms").to_pandas()


def _figures(
    rows: int, encoding: Cost, writing: Cost, redis_s: float, many: float, singles: float
) -> list[Figure]:
    ours = rows / writing.wall_s
    with_decoding = rows / (writing.wall_s + encoding.wall_s)
    costs = (
        f"CPU per row: {writing.cpu_s / rows * 1e6:.0f} µs in the client,"
        f" {redis_s / rows * 1e6:.0f} µs in Redis"
    )
    note = f"{rows:,} rows of three views, guarded, in batches; {costs}"
    both = rows / (writing.cpu_s + redis_s)
    return [
        Figure("OnlineTable.write, by the clock", ours, "rows/s", at_least=AIM_PER_S, note=note),
        Figure(
            "OnlineTable.write, CPU of both sides",
            both,
            "rows/s CPU",
            note="as if client and Redis never ran in parallel",
        ),
        Figure(
            "with decoding, one after the other",
            with_decoding,
            "rows/s",
            note=(
                f"{encoding.cpu_s / rows * 1e6:.0f} µs CPU per row from JSON to Redis' arguments;"
                " the writer decodes while Redis works"
            ),
        ),
        Figure(
            "Feast write_to_online_store, many",
            many,
            "rows/s",
            note="the 1 s view, all in one call",
        ),
        Figure("Feast write_to_online_store, one by one", singles, "rows/s"),
        Figure("ours / Feast, many", ours / many, "×"),
    ]
