"""The ticks of a run: a synthetic market in real time, with heartbeats, and faults of the stream.

It sends with the product's own sender. Everything handed to it is counted.
"""

import re
import threading
from collections import deque

import polars as pl
from confluent_kafka import Producer

from contracts.clock import now_us
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.durations import MINUTE_US, SECOND_US
from contracts.errors import ServiceError, TickError
from contracts.topics import TICKS
from streaming.feeds.tick_frame import encode
from streaming.replay.sender import Sender
from streaming.synthetic.market import Exchange, Market
from tests.support import poison
from tests.support.faults import inject_faults

STEP_S = 0.25
RESENT_FRAMES = 120  # half a minute
LATE_US = 3 * SECOND_US
LATE_SHARE = 0.05
DISORDER_US = 150_000  # below the lateness of 200 ms
FAULT_SHARE = 0.1
TIMES = ("future", "year_1970", "year_9999")
SHAPES = ("bad_json", "empty", "bad_utf8", "nan", "wrong_version", "wrong_type", "missing_field")
KINDS = {
    "duplicate": ("duplicate",),
    "disorder": ("disorder",),
    "malformed": (*SHAPES, "negative", "crossed_quote"),
    "odd_times": TIMES,
}
SYMBOL = re.compile(rb'"symbol":"([^"]+)"')
TEN_MB, BATCH_BYTES = 10_000_000, 1_048_576 - 200
POISON_TIMEOUT_S = 120.0
TRADE = "c"  # begins every trade id, unlike those of the history of the same market


def exchange(rate: float, symbols: int, seed: int) -> Exchange:
    """A market of `rate` ticks per second over all symbols, without a shape of the day."""
    names = tuple(f"S{number:02}USD" for number in range(symbols))
    return Exchange(
        symbols=names, rate=rate / symbols, day_shape=0.0, venue="CHAOS", seed=seed, branching=0.1
    )


class Load(threading.Thread):
    """Sends heartbeats from its start to `stop`, and ticks between `resume` and `pause`.

    `produced` messages were handed to the sender, without heartbeats.
    """

    def __init__(self, settings: Settings, market: Market) -> None:
        super().__init__(name="load", daemon=True)
        self.produced = 0
        self._settings, self._market, self._sender = settings, market, Sender(settings)
        self._lock, self._ended, self._paused = threading.Lock(), threading.Event(), True
        self._end_us: int | None = None
        self._fault: tuple[str, int] | None = None
        self._recent: deque[pl.DataFrame] = deque(maxlen=RESENT_FRAMES)
        self._held: deque[tuple[int, pl.DataFrame]] = deque()
        self._error: TickError | None = None

    def run(self) -> None:
        """The thread."""
        try:
            while not self._ended.wait(STEP_S):
                with self._lock:
                    self._step(now_us())
        except TickError as error:
            self._error = error

    def check(self) -> None:
        """Raises the error that ended the thread, if one did."""
        if self._error is not None:
            raise self._error

    def resume(self) -> int:
        """Send ticks from now on; returns their earliest event time, µs UTC."""
        with self._lock:
            self._advance(now_us())
            self._paused, self._end_us = False, None
            return self._market.now_us

    def pause(self, earliest_us: int) -> int:
        """Send ticks up to the end of a minute, this one or that of `earliest_us` (µs UTC), and
        wait until all are acknowledged.

        Returns that end, µs UTC. Raises ServiceError if one was not delivered.
        """
        end_us = max((now_us() // MINUTE_US + 1) * MINUTE_US, earliest_us)
        with self._lock:
            self._end_us = end_us
        while not self._paused:
            self.check()
            self._ended.wait(STEP_S)
        with self._lock:
            self._sender.flush()
        return end_us

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self.join()

    def begin(self, kind: str, seed: int) -> None:
        """Let a fault be in everything that is sent until `end`."""
        with self._lock:
            self._fault = (kind, seed)

    def end(self) -> None:
        """No fault from now on."""
        with self._lock:
            self._fault = None

    def resend(self) -> None:
        """Send the last half minute again, message for message."""
        with self._lock:
            for frame in list(self._recent):
                self._send_clean(frame)

    def poison(self) -> None:
        """Send every message that was made to break a parser. Raises ServiceError if one is not
        acknowledged.
        """
        time_us = now_us() // SECOND_US * SECOND_US
        sent = [
            *((message, "lz4") for message in poison.messages(time_us)),
            *((message, "none") for message in poison.huge(time_us, BATCH_BYTES)),
            *((message, "lz4") for message in poison.huge(time_us, TEN_MB)),
        ]
        for compression in ("lz4", "none"):
            _send_each(self._settings, [m for m, how in sent if how == compression], compression)
        with self._lock:
            self.produced += len(sent)

    def _step(self, time_us: int) -> None:
        until_us = min(time_us, self._end_us or time_us)
        frame = self._advance(until_us)
        if not self._paused:
            self._send(frame, time_us)
        if self._end_us is not None and time_us >= self._end_us:
            self._release(None)
            self._paused = True
        self._sender.send_heartbeat(time_us if self._paused else until_us, 0)

    def _advance(self, until_us: int) -> pl.DataFrame:
        frames = [self._market.advance(0.0)]
        while self._market.now_us < until_us:
            frames.append(self._market.advance((until_us - self._market.now_us) / 1e6))
        return pl.concat(frames).with_columns(trade_id=pl.lit(TRADE) + pl.col("trade_id"))

    def _send(self, frame: pl.DataFrame, time_us: int) -> None:
        kind, seed = self._fault or ("", 0)
        self._release(time_us)
        if kind == "idle":
            return
        if kind == "late":
            late = frame.sample(fraction=LATE_SHARE, seed=seed)
            self._held.append((time_us + LATE_US, late))
            frame = frame.join(late, on=["symbol", "trade_id"], how="anti", maintain_order="left")
        if kind in KINDS:
            self._send_faulty(frame, KINDS[kind], seed + time_us, time_us)
        else:
            self._send_clean(frame)
            self._recent.append(frame)

    def _release(self, time_us: int | None) -> None:
        """Send the late ticks that are due, or all of them."""
        while self._held and (time_us is None or self._held[0][0] <= time_us):
            self._send_clean(self._held.popleft()[1])

    def _send_clean(self, frame: pl.DataFrame) -> None:
        self._sender.send_ticks(frame)
        self.produced += len(frame)

    def _send_faulty(
        self, frame: pl.DataFrame, kinds: tuple[str, ...], seed: int, time_us: int
    ) -> None:
        mixed = inject_faults(encode(frame), FAULT_SHARE, seed, time_us, kinds, DISORDER_US)
        for message in mixed.messages:
            found = SYMBOL.search(message)
            self._sender.send_message(found[1].decode() if found else "?", message)
        self.produced += len(mixed.messages)


def _send_each(settings: Settings, messages: list[bytes], compression: str) -> None:
    """Send each message in a separate batch, to the partitions in turn."""
    options = {
        "compression.type": compression,
        "message.max.bytes": 2 * TEN_MB,
        "batch.num.messages": 1,
        "enable.idempotence": True,
    }
    producer = Producer({**connections.kafka(settings), **options})
    failed: list[str] = []
    for number, message in enumerate(messages):
        producer.produce(
            TICKS.name,
            message,
            partition=number % TICKS.partitions,
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )
        producer.poll(0)
    undelivered = producer.flush(POISON_TIMEOUT_S)
    if undelivered or failed:
        raise ServiceError(
            f"{undelivered + len(failed)} messages of poison were not delivered: {failed[:1]}",
            "see the log of Kafka",
        )
