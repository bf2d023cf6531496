"""The trade ids at which a live feed continues after a restart, in a file for all streams."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from contracts.errors import FeedError
from contracts.files import hold_lock, replace_atomically

Ids = dict[str, int]


@dataclass
class TradeIds:
    """The id that follows the newest acknowledged trade, per symbol of `stream`.

    `note` remembers which ids belong to how many items; `acknowledge` moves to those whose items
    are in Kafka, so that a kill loses no trade unseen.
    """

    file: Path
    stream: str
    acknowledged: Ids = field(default_factory=dict)
    _noted: deque[tuple[int, Ids]] = field(default_factory=deque)
    _saved: Ids = field(default_factory=dict)

    def load(self, symbols: tuple[str, ...]) -> Ids:
        """The saved ids of these symbols. Raises FeedError if the file has another content."""
        saved = _read(self.file).get(self.stream, {})
        return {symbol: saved[symbol] for symbol in symbols if symbol in saved}

    def note(self, items: int, ids: Ids) -> None:
        """After `items` items of the feed, it continues at `ids`."""
        newest = self._noted[-1][1] if self._noted else self.acknowledged
        if ids != newest:
            self._noted.append((items, dict(ids)))

    def acknowledge(self, items: int) -> None:
        """The first `items` items are in Kafka."""
        while self._noted and self._noted[0][0] <= items:
            self.acknowledged = self._noted.popleft()[1]

    def save(self) -> None:
        """Write the acknowledged ids, unless that has been done; other streams keep theirs."""
        if self.acknowledged == self._saved:
            return
        with hold_lock(self.file.with_suffix(".lock"), wait=True):
            streams = _read(self.file)
            streams[self.stream] = streams.get(self.stream, {}) | self.acknowledged
            with replace_atomically(self.file) as partial:
                partial.write_bytes(orjson.dumps(streams, option=orjson.OPT_INDENT_2))
        self._saved = self.acknowledged


def _read(file: Path) -> dict[str, Ids]:
    try:
        streams = orjson.loads(file.read_bytes())
        return {
            stream: {symbol: int(number) for symbol, number in ids.items()}
            for stream, ids in streams.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise FeedError(
            f"{file} does not have the trade ids of a live feed: {error}",
            "delete it; trades missed since the last run are then not noticed",
        ) from error
