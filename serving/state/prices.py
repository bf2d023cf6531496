"""The latest price of each symbol, for the live page. Ticks are read while the page is open."""

import threading
import time

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.topics import TICKS

IDLE_S_MAX = 30.0
BATCH_MESSAGES = 1000
POLL_S = 0.5
SYMBOLS_MAX = 1000


class Prices:
    """A thread that reads topic `ticks`. It starts with the first call of `latest` and ends
    `IDLE_S_MAX` after the last one.
    """

    def __init__(self, settings: Settings) -> None:
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
        consumer = Consumer({**connections.kafka(self._settings), **options})
        try:
            consumer.assign(
                [TopicPartition(TICKS.name, at, OFFSET_END) for at in range(TICKS.partitions)]
            )
            while not self._stop.is_set() and time.monotonic() - self._last_call_s < IDLE_S_MAX:
                last_messages = {
                    message.key(): message.value()
                    for message in consumer.consume(BATCH_MESSAGES, POLL_S)
                    if message.error() is None
                }
                for key, value in last_messages.items():
                    self._update_price(key, value)
        except KafkaException:
            return
        finally:
            consumer.close()

    def _update_price(self, key: bytes | None, value: bytes | None) -> None:
        try:
            price = orjson.loads(value or b"")["price"]
            symbol = (key or b"").decode()
        except (ValueError, KeyError, TypeError):
            return
        has_room = symbol in self._prices or len(self._prices) < SYMBOLS_MAX
        if isinstance(price, int | float) and has_room:
            self._prices[symbol] = float(price)
