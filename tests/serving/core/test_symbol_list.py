"""The symbols of the live page: one scan of the store for all readers, and none from an outage."""

import asyncio

import pytest

from feature_store.online.reader import OnlineStoreUnavailable
from serving.core.symbol_list import SymbolList


class Reader:
    def __init__(self) -> None:
        self.scans = 0
        self.is_down = False

    async def symbols(self, count_max: int) -> list[str]:
        self.scans += 1
        if self.is_down:
            raise OnlineStoreUnavailable("down")
        return [f"A:S{self.scans}"][:count_max]


def test_readers_within_the_age_share_one_scan():
    reader, symbols = Reader(), SymbolList(50, 3600)
    assert [asyncio.run(symbols.read(reader)) for _ in range(5)] == [["A:S1"]] * 5
    assert reader.scans == 1


def test_an_old_list_is_read_again():
    reader, symbols = Reader(), SymbolList(50, 0)
    assert [asyncio.run(symbols.read(reader)) for _ in range(2)] == [["A:S1"], ["A:S2"]]


def test_an_outage_is_not_kept():
    reader, symbols = Reader(), SymbolList(50, 3600)
    reader.is_down = True
    with pytest.raises(OnlineStoreUnavailable):
        asyncio.run(symbols.read(reader))
    reader.is_down = False
    assert asyncio.run(symbols.read(reader)) == ["A:S2"]
