"""The symbols of the online store, as the live page lists them: scanned rarely, whoever looks."""

import time

from feature_store.online.reader import OnlineReader


class SymbolList:
    """The first `count_max` symbols, at most `age_s_max` old.

    A scan reads every key name of the store, so all open pages share one.
    """

    def __init__(self, count_max: int, age_s_max: float) -> None:
        self._count_max = count_max
        self._age_s_max = age_s_max
        self._symbols: list[str] = []
        self._read_s = -age_s_max

    async def read(self, reader: OnlineReader) -> list[str]:
        """The symbols, sorted. Raises OnlineStoreUnavailable."""
        if time.monotonic() - self._read_s >= self._age_s_max:
            self._symbols = await reader.symbols(self._count_max)
            self._read_s = time.monotonic()
        return self._symbols
