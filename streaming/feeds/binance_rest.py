"""Trades that the live feed missed, fetched over Binance's REST interface in a separate thread.

A slow or silent REST interface delays neither the trades of the socket nor the heartbeats.
"""

import queue
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog
from pydantic import BaseModel, Field, TypeAdapter

from contracts.config.groups.feeds import FeedSettings
from contracts.errors import FeedError
from streaming.feeds.formats.binance import COINM, SPOT, USDM

VENUES = {"stream.": SPOT, "fstream.": USDM, "dstream.": COINM}
FUTURES_REST = ("fapi.", "dapi.")
ROWS_MAX = 1000
ANSWER_BYTES_MAX = 4 << 20  # a thousand trades have about 150 kB
READ_BYTES = 1 << 16
TIMEOUT_S_MAX = 10.0
log = structlog.get_logger("streaming")


class RestTrade(BaseModel):
    """One trade of /api/v3/historicalTrades; other fields are ignored."""

    id: int = Field(strict=True, ge=0)
    price: str
    qty: str
    time: int = Field(strict=True)
    isBuyerMaker: bool = Field(strict=True)  # noqa: N815 - the exchange's name

    def message(self, symbol: str) -> dict[str, Any]:
        """The trade in the form of a socket message."""
        data = {
            "e": "trade",
            "s": symbol,
            "t": self.id,
            "p": self.price,
            "q": self.qty,
            "T": self.time,
            "m": self.isBuyerMaker,
        }
        return {"stream": f"{symbol.lower()}@trade", "data": data | {"M": True}}


ANSWER = TypeAdapter(list[RestTrade])


@dataclass(frozen=True)
class Gap:
    """The missing trades [first, until) of a symbol; `ends_s` (monotonic) limits their fetching."""

    symbol: str
    first: int
    until: int
    ends_s: float


@dataclass
class GapFiller:
    """Fetches gaps one after the other in a thread. `pending`: gaps that are not yet answered."""

    url: str
    pending: list[Gap] = field(default_factory=list)
    _asked: "queue.SimpleQueue[Gap]" = field(default_factory=queue.SimpleQueue)
    _answers: "queue.SimpleQueue[tuple[Gap, list[RestTrade]]]" = field(
        default_factory=queue.SimpleQueue
    )
    _thread: threading.Thread | None = None

    def ask(self, gap: Gap) -> None:
        """Fetch this gap after those before it."""
        self.pending.append(gap)
        self._asked.put(gap)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fill gaps", daemon=True)
            self._thread.start()

    def answers(self, wait_s: float = 0.0) -> Iterator[tuple[Gap, list[RestTrade]]]:
        """Gaps that are answered, each with the trades up to the first one that REST lacks.

        Waits until none is pending, `wait_s` at most.
        """
        ends_s = time.monotonic() + wait_s
        while self.pending:
            try:
                gap, trades = self._answers.get(timeout=max(ends_s - time.monotonic(), 0.0))
            except queue.Empty:
                return
            self.pending.remove(gap)
            yield gap, trades

    def _run(self) -> None:
        while True:
            gap = self._asked.get()
            self._answers.put((gap, list(fetch(self.url, gap))))


def fetch(url: str, gap: Gap) -> Iterator[RestTrade]:
    """The trades of a gap, in pages. An error or the end of its time is logged and ends them."""
    first = gap.first
    while first < gap.until:
        try:
            trades = _page(url, gap, first)
        except (OSError, HTTPException, ValueError) as error:
            log.warning(
                "could not fill a gap", symbol=gap.symbol, first=first, error=repr(error)[:200]
            )
            return
        yield from trades
        if not trades:
            return
        first = trades[-1].id + 1


def _page(url: str, gap: Gap, first: int) -> list[RestTrade]:
    """One request: trades from `first` on by id, none twice, none outside the gap."""
    limit = min(ROWS_MAX, gap.until - first)
    query = urlencode({"symbol": gap.symbol, "fromId": first, "limit": limit})
    answer = _read(f"{url}/api/v3/historicalTrades?{query}", gap.ends_s)
    trades = {trade.id: trade for trade in ANSWER.validate_json(answer)}
    return [trades[number] for number in sorted(trades) if first <= number < gap.until]


def _read(url: str, ends_s: float) -> bytes:
    """The body of an answer. Raises TimeoutError at `ends_s`, ValueError if it is too long."""
    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the time for this gap is over (TICK_LIVE_GAP_FILL_S)")
    body = bytearray()
    with urllib.request.urlopen(url, timeout=min(left_s, TIMEOUT_S_MAX)) as response:
        while block := response.read1(READ_BYTES):
            body += block
            if len(body) > ANSWER_BYTES_MAX:
                raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            if time.monotonic() > ends_s:
                raise TimeoutError("the time for this gap is over (TICK_LIVE_GAP_FILL_S)")
        if response.length:  # read1 does not report that the body is shorter than announced
            raise OSError(f"{response.length} bytes of the answer are missing")
    return bytes(body)


def venue_of(url: str) -> str | None:
    """The venue of a stream's address; None if its host is not one of Binance."""
    host = urlsplit(url).hostname or ""
    return next((venue for start, venue in VENUES.items() if host.startswith(start)), None)


def require_spot(settings: FeedSettings) -> None:
    """Gaps are fetched from the spot API alone. Raises FeedError for another market."""
    if settings.live_rest_url is None:
        return
    stream_is_spot = venue_of(settings.live_url) in (SPOT, None)
    rest_host = urlsplit(settings.live_rest_url).hostname or ""
    if not stream_is_spot or rest_host.startswith(FUTURES_REST):
        raise FeedError(
            f"the gaps of {settings.live_url} cannot be fetched from {settings.live_rest_url}:"
            " only the spot API of Binance has trades by their id",
            "unset TICK_LIVE_REST_URL, or use a spot stream for TICK_LIVE_URL",
        )
