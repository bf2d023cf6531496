"""The latest price of each symbol, for the live page. Ticks are read while the page is open."""

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.topics import TICKS

IDLE_S_MAX = 30.0
BATCH_MESSAGES = 1000
POLL_S = 0.5
SYMBOLS_MAX = 1000


class Prices:
    """A thread that reads topic `ticks`. It starts with the first call of `latest` and ends
    `IDLE_S_MAX` after the last one.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._prices: dict[str, float] = {}
        self._last_call_s = 0.0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def latest(self) -> dict[str, float]:
        """Price by VENUE:SYMBOL, of the symbols that had a tick since the thread started."""
        self._last_call_s = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._read_ticks, name="prices", daemon=True)
            self._thread.start()
        return dict(self._prices)

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * POLL_S + 1)

    def _read_ticks(self) -> None:
        options = {
            "group.id": "api-prices",
            "enable.auto.commit": False,
            "log_level": 0,
            "error_cb": lambda _error: None,
        }
        partitions = [TopicPartition(TICKS.name, at, OFFSET_END) for at in range(TICKS.partitions)]
        with (
            contextlib.suppress(KafkaException),
            contextlib.closing(Consumer({**connections.kafka(self._settings), **options})) as ticks,
        ):
            ticks.assign(partitions)
            while self._is_watched():
                self._update_prices(ticks.consume(BATCH_MESSAGES, POLL_S))

    def _is_watched(self) -> bool:
        idle_s = time.monotonic() - self._last_call_s
        return idle_s < IDLE_S_MAX and not self._stop.is_set()

    def _update_prices(self, messages: Sequence[Message]) -> None:
        """Parse only the last message of each symbol."""
        last_values = {
            message.key(): message.value() for message in messages if message.error() is None
        }
        for key, value in last_values.items():
            self._update_price(key, value)

    def _update_price(self, key: Any, value: Any) -> None:
        try:
            price = orjson.loads(value)["price"]
            symbol = key.decode()
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # a heartbeat, or not a tick
        has_room = symbol in self._prices or len(self._prices) < SYMBOLS_MAX
        if isinstance(price, int | float) and has_room:
            self._prices[symbol] = float(price)
