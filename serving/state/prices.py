"""The newest price of each symbol, for people who look at the live page: read from the stream only
while someone looks.
"""

import threading
import time

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.topics import TICKS

IDLE_S_MAX = 30.0
BATCH, POLL_S = 1000, 0.5
SYMBOLS_MAX = 1000


class Prices:
    """A thread that starts with the first question and ends when no one has asked for half a
    minute.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._newest: dict[str, float] = {}
        self._asked_s = 0.0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def newest(self) -> dict[str, float]:
        """Price by VENUE:SYMBOL, as far as ticks came by since someone looks."""
        self._asked_s = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._follow, name="prices", daemon=True)
            self._thread.start()
        return dict(self._newest)

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * POLL_S + 1)

    def _follow(self) -> None:
        quiet = {
            "group.id": "api-prices",
            "enable.auto.commit": False,
            "log_level": 0,
            "error_cb": lambda _error: None,
        }
        consumer = Consumer({**connections.kafka(self._settings), **quiet})
        try:
            consumer.assign(
                [TopicPartition(TICKS.name, at, OFFSET_END) for at in range(TICKS.partitions)]
            )
            while not self._stop.is_set() and time.monotonic() - self._asked_s < IDLE_S_MAX:
                newest = {
                    message.key(): message.value()
                    for message in consumer.consume(BATCH, POLL_S)
                    if message.error() is None
                }
                for key, value in newest.items():
                    self._take(key, value)
        except KafkaException:
            return
        finally:
            consumer.close()

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        try:
            tick = orjson.loads(value or b"")
            price, symbol = tick["price"], (key or b"").decode()
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(price, int | float) and (
            symbol in self._newest or len(self._newest) < SYMBOLS_MAX
        ):
            self._newest[symbol] = float(price)
