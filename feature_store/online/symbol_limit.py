"""The limit on the number of symbols in Redis: a flood of new names must not fill its memory,
because a full Redis refuses the rows of every symbol.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import redis

from feature_store.online import redis_layout

if TYPE_CHECKING:
    from feature_store.online.store import Row

# At the limit, Redis is scanned at most this often for symbols that have expired.
RESCAN_S = 60.0
SCAN_KEYS = 1000  # keys per round trip


class SymbolLimit:
    """Admits the rows of symbols that Redis has, and of new symbols up to `symbols_max` in all."""

    def __init__(
        self,
        client: redis.Redis,
        symbols_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.symbols_max = symbols_max
        self._client = client
        self._clock = clock
        self._admitted: set[str] = set()
        self._scanned_s: float | None = None

    def admit(self, rows: list["Row"]) -> list["Row"]:
        """The rows that may be written. Raises redis.RedisError."""
        new = {row.symbol for row in rows} - self._admitted
        refused = self._refuse(new) if new else set()
        return [row for row in rows if row.symbol not in refused] if refused else rows

    def _refuse(self, new: set[str]) -> set[str]:
        """Those of the new symbols that are beyond the limit; the others are admitted."""
        if self._is_scan_due(len(new)):
            self._scanned_s = self._clock()
            self._admitted = self._scan()
            new = new - self._admitted
        room = max(0, self.symbols_max - len(self._admitted))
        admitted = set(sorted(new)[:room])
        self._admitted |= admitted
        return new - admitted

    def _is_scan_due(self, count: int) -> bool:
        if self._scanned_s is None:
            return True
        is_full = len(self._admitted) + count > self.symbols_max
        return is_full and self._clock() - self._scanned_s >= RESCAN_S

    def _scan(self) -> set[str]:
        pattern = b"*" + redis_layout.PROJECT.encode()
        keys = self._client.scan_iter(match=pattern, count=SCAN_KEYS)
        return {symbol for key in keys if (symbol := redis_layout.symbol_of(key)) is not None}
