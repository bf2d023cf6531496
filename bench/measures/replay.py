"""Throughput of `tick replay` at speed 0, compared with a bare loop producing the same bytes."""

from pathlib import Path

import polars as pl
from confluent_kafka import Producer

from bench.cost.process import Cost, measure_cost
from bench.load.ticks import Chunk
from bench.platform import services
from bench.report.figures import Figure
from contracts.clock import now_us
from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.settings import Settings
from contracts.durations import MINUTE_US
from contracts.topics import TICKS
from streaming.feeds import open_feed, tick_frame
from streaming.replay import replay

AIM_PER_S = 150_000
SECONDS = 600
PER_TILE, SYMBOLS = 50, 20
FLUSH_S = 60.0


def measure(scale: float = 1.0) -> list[Figure]:
    """Ticks per CPU second of the producer and per wall second, from Parquet into a real Kafka."""
    seconds = max(2, int(SECONDS * scale))
    start_us = (now_us() // MINUTE_US - seconds // 60 - 2) * MINUTE_US
    with services.run_services(("kafka",)) as settings:
        file = settings.root / "ticks.parquet"
        frame = pl.concat(Chunk(start_us, seconds, PER_TILE, SYMBOLS).frames())
        frame.write_parquet(file)
        _replay(settings, file)  # imports, connections, and the files of the topic
        return _figures(frame.height, _replay(settings, file), _bare_loop(settings, frame))


def _replay(settings: Settings, file: Path) -> Cost:
    with measure_cost() as cost:
        done = replay.replay(open_feed([file]), settings, speed=0)
    cost.wall_s = done.elapsed_s  # without the final heartbeats
    return cost


def _bare_loop(settings: KafkaSettings, frame: pl.DataFrame) -> Cost:
    """The cost of producing alone, without reading, validation, encoding and position."""
    messages = list(
        zip(tick_frame.encode(frame), frame["venue"] + ":" + frame["symbol"], strict=True)
    )
    options = {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": settings.producer_linger_ms,
        "compression.type": "lz4",
    }
    producer = Producer(
        {
            **connections.kafka(settings),
            "queue.buffering.max.messages": settings.producer_queue_max,
            **options,
        }
    )
    with measure_cost() as cost:
        for value, key in messages:
            while len(producer) >= settings.producer_queue_max:
                producer.poll(0.01)
            producer.produce(TICKS.name, value, key)
        producer.flush(FLUSH_S)
    return cost


def _figures(ticks: int, ours: Cost, bare: Cost) -> list[Figure]:
    sent = f"{ticks:,} ticks"
    return [
        Figure(
            "replay, CPU of the producer",
            ticks / ours.cpu_s,
            "ticks/s CPU",
            at_least=AIM_PER_S,
            note=f"{sent} from Parquet, speed 0",
        ),
        Figure(
            "replay, by the clock",
            ticks / ours.wall_s,
            "ticks/s",
            at_least=AIM_PER_S,
            note="Kafka runs on the same cores",
        ),
        Figure(
            "bare produce loop, CPU",
            ticks / bare.cpu_s,
            "ticks/s CPU",
            note="same bytes, keys and producer options",
        ),
        Figure("bare produce loop, by the clock", ticks / bare.wall_s, "ticks/s"),
        Figure(
            "CPU of a replay / bare loop",
            ours.cpu_s / bare.cpu_s,
            "×",
            note="a replay also reads, validates, encodes and saves its position",
        ),
    ]
