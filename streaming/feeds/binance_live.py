"""Live feed of Binance's trade streams over a WebSocket.

It reconnects, detects gaps by trade id, and fills them over REST. Messages pass through the same
reader and validator as recorded sockets, so a live tick and its recording are the same tick.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import orjson
import structlog
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from contracts.clock import SteadyClock, now_us
from contracts.config.groups.feeds import FeedSettings
from contracts.errors import FeedError
from streaming.feeds.binance_rest import Gap, GapFiller, require_spot, venue_of
from streaming.feeds.binance_socket import Reader
from streaming.feeds.trade_ids import Ids, TradeIds
from streaming.feeds.types import Batch, Names, Span
from streaming.feeds.validator import Validator

T = TypeVar("T")
POLL_S = 0.05
LINES_MAX = 1000
SOCKET_MESSAGE_BYTES_MAX = 1 << 20
OPEN_TIMEOUT_S = 10.0
# An exchange repeats fewer trades than this; an id further back means that its ids began again.
REPEATED_MAX = 1_000_000
log = structlog.get_logger("streaming")


@dataclass
class LiveStats:
    """Connections opened, gaps between trade ids, trades missing in them, and trades fetched."""

    connections: int = 0
    gaps: int = 0
    missing: int = 0
    filled: int = 0


@dataclass
class LiveFeed:
    """The trades of `symbols` from now on, for `duration_s` or until interrupted.

    `trade_ids` continues at those of the last run: trades that were missed since then are a gap.
    Raises FeedError if gaps cannot be fetched from the REST address.
    """

    settings: FeedSettings
    symbols: tuple[str, ...]
    venue: str | None = None
    duration_s: float | None = None
    trade_ids: TradeIds | None = None
    clock: Callable[[], int] = now_us
    in_real_time: bool = True
    span_is_cheap: bool = False
    stats: LiveStats = field(default_factory=LiveStats)
    _next: Ids = field(default_factory=dict)  # trade id expected per symbol
    _filler: GapFiller | None = None
    _hold_until_s: float = 0.0

    def __post_init__(self) -> None:
        require_spot(self.settings)
        if self.settings.live_rest_url is not None:
            self._filler = GapFiller(self.settings.live_rest_url)
        if self.trade_ids is not None:
            self._next = self.trade_ids.load(self.symbols)

    @property
    def fingerprint(self) -> str:
        """Constant: a live feed cannot be replayed."""
        return "live"

    @property
    def formats(self) -> tuple[str, ...]:
        """The host of the exchange, for the report."""
        return (urlsplit(self.settings.live_url).netloc,)

    @property
    def idle_lag_us(self) -> int:
        """Event time follows the clock at this distance while there are no trades."""
        return int(self.settings.live_idle_lag_s * 1e6)

    def span(self, received_us: int) -> Span:
        """Raises FeedError: the end of a live feed is unknown."""
        raise FeedError("the end of a live feed is unknown", "run it without --as-live")

    def batches(self, received_us: int) -> Iterator[Batch]:
        """A batch at least every 50 ms, empty while the exchange is silent.

        A lost connection is opened again.
        """
        reader = Reader(Names(self.venue, None), venue_of(self.settings.live_url))
        validator, steady = Validator(self.settings.live_url, received_us), SteadyClock(self.clock)
        ends_s = time.monotonic() + (math.inf if self.duration_s is None else self.duration_s)
        row = items = 0
        for lines in chain(self._lines(ends_s), self._drain()):
            # A clock that was set back would make every trade one of the future.
            validator.received_us = max(self.clock(), steady())
            batch = validator.batch(reader.chunk(b"\n".join(lines), lines, row))
            row, items = row + len(lines), items + batch.items
            if self.trade_ids is not None:
                self.trade_ids.note(items, self._safe_ids())
            yield batch

    def _lines(self, ends_s: float) -> Iterator[list[bytes]]:
        """Lines in the form of a recording, gaps filled, until `ends_s` of the monotonic clock."""
        pause_s = 0.0
        while time.monotonic() < ends_s:
            try:
                connection = yield from _meanwhile(self._connect)
                with connection:
                    self.stats.connections += 1
                    silence_s = self.settings.live_reconnect_after_s
                    for messages in _receive(connection, silence_s, ends_s):
                        if messages:  # the back-off is reset by a message, not by connecting alone
                            pause_s = 0.0
                        yield [*self._fetched(), *self._complete_lines(messages)]
            except (OSError, WebSocketException, TimeoutError) as error:
                pause_s = min(max(2 * pause_s, 0.05), self.settings.live_retry_s_max)
                log.warning(
                    "the exchange is unavailable", error=str(error)[:200], again_in_s=pause_s
                )
                yield from _empty_batches(pause_s)

    def _connect(self) -> ClientConnection:
        streams = "/".join(
            f"{symbol.lower()}@{kind}"
            for symbol in self.symbols
            for kind in ("trade", "bookTicker")
        )
        url = f"{self.settings.live_url}?{urlencode({'streams': streams}, safe='@/')}"
        return connect(
            url,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=self.settings.live_close_s,
            max_size=SOCKET_MESSAGE_BYTES_MAX,
            compression=None,
            proxy=None,
        )

    def _complete_lines(self, messages: list[bytes]) -> list[bytes]:
        """The messages as lines with their time of arrival.

        Trades missing before a message are inserted if they are fetched before event time would
        pass them; else they follow later. Trades that were already received are dropped.
        """
        return list(chain.from_iterable(map(self._complete, messages)))

    def _complete(self, message: bytes) -> list[bytes]:
        trade = _trade(message)
        if trade is None:
            return [self._line(message)]
        symbol, number = trade
        expected = self._next.get(symbol, number)
        if expected - REPEATED_MAX <= number < expected:
            return []
        self._next[symbol] = number + 1
        if number < expected:
            log.warning("trade ids began again", symbol=symbol, expected=expected, number=number)
        if number <= expected:
            return [self._line(message)]
        self._ask(symbol, expected, number)
        return [*self._fetched(self._hold_until_s - time.monotonic()), self._line(message)]

    def _line(self, message: bytes) -> bytes:
        return b"%d %s" % (self.clock() * 1000, message)

    def _ask(self, symbol: str, first: int, until: int) -> None:
        """Have the trades [first, until) fetched, `live_gap_max` at most."""
        self.stats.gaps += 1
        self.stats.missing += until - first
        if self._filler is None:
            log.warning("trades are missing", symbol=symbol, first=first, count=until - first)
            return
        now_s = time.monotonic()
        if not self._filler.pending:
            self._hold_until_s = now_s + self.settings.live_idle_lag_s
        last = min(until, first + self.settings.live_gap_max)
        self._filler.ask(Gap(symbol, first, last, now_s + self.settings.live_gap_fill_s))

    def _fetched(self, wait_s: float = 0.0) -> list[bytes]:
        """Lines of the gaps that are filled; waits `wait_s` at most for those that are not."""
        lines: list[bytes] = []
        for gap, trades in self._filler.answers(max(wait_s, 0.0)) if self._filler else ():
            self.stats.filled += len(trades)
            log.info(
                "filled a gap",
                symbol=gap.symbol,
                first=gap.first,
                missing=gap.until - gap.first,
                filled=len(trades),
            )
            lines += [self._line(orjson.dumps(trade.message(gap.symbol))) for trade in trades]
        return lines

    def _drain(self) -> Iterator[list[bytes]]:
        """The gaps that are still being filled when the feed ends; empty batches meanwhile."""
        while self._filler is not None and self._filler.pending:
            if time.monotonic() > max(gap.ends_s for gap in self._filler.pending):
                log.warning("gaps are left", count=len(self._filler.pending))
                return
            yield self._fetched(POLL_S)

    def _safe_ids(self) -> Ids:
        """The ids at which another run would continue: before the gaps that are being filled."""
        ids = dict(self._next)
        for gap in self._filler.pending if self._filler else ():
            ids[gap.symbol] = min(ids[gap.symbol], gap.first)
        return ids


def _receive(
    connection: ClientConnection, silence_s: float, ends_s: float
) -> Iterator[list[bytes]]:
    """Messages, collected for 50 ms each. Raises TimeoutError after `silence_s` without one."""
    received_s = time.monotonic()
    while time.monotonic() < ends_s:
        messages: list[bytes] = []
        try:
            _collect(connection, messages)
        except WebSocketException:
            yield messages  # received before the connection was lost
            raise
        received_s = time.monotonic() if messages else received_s
        if time.monotonic() - received_s > silence_s:
            raise TimeoutError(f"no message for {silence_s:g} s")
        yield messages


def _collect(connection: ClientConnection, messages: list[bytes]) -> None:
    """Append the messages of the next 50 ms, LINES_MAX at most."""
    until_s = time.monotonic() + POLL_S
    with suppress(TimeoutError):
        while len(messages) < LINES_MAX and (left_s := until_s - time.monotonic()) > 0:
            messages.append(connection.recv(timeout=left_s, decode=False))


def _empty_batches(pause_s: float) -> Iterator[list[bytes]]:
    """Wait, yielding empty batches so that heartbeats continue."""
    until_s = time.monotonic() + pause_s
    while time.monotonic() < until_s:
        yield []
        time.sleep(min(POLL_S, max(0.0, until_s - time.monotonic())))


def _meanwhile(action: Callable[[], T]) -> Generator[list[bytes], None, T]:
    """The result of a blocking action, yielding an empty batch every 50 ms until it is there."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(action)
        while wait([future], POLL_S).not_done:
            yield []
        return future.result()


def _trade(message: bytes) -> tuple[str, int] | None:
    """Symbol and number of a trade; None for every other message."""
    if b"trade" not in message[:120]:
        return None
    try:
        envelope = orjson.loads(message)
        data = envelope.get("data", envelope)
        return (str(data["s"]), int(data["t"])) if data.get("e") == "trade" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
