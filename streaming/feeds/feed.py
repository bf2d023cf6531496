"""`open_feed`: any supported files as one stream of judged batches, the format named or found by
looking.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import polars as pl

from contracts.errors import FeedError
from streaming.feeds import binance, binance_socket, canonical, cme, vendors
from streaming.feeds.merge import merged
from streaming.feeds.source import Head, Source, expand
from streaming.feeds.types import Batch, Format, Names, Span
from streaming.feeds.validator import Judge

FORMATS: tuple[Format, ...] = (
    binance.TRADES,
    binance.AGG_TRADES,
    binance_socket.SOCKET,
    vendors.BYBIT,
    vendors.TARDIS,
    vendors.DATABENTO,
    canonical.CSV,
    canonical.PARQUET,
    cme.CME,
)
CHEAP_BYTES = 64 << 20
BY_NAME = {format_.name: format_ for format_ in FORMATS}


@dataclass(frozen=True)
class Feed:
    """Files and how to read them. Reading again gives the same rows in the same order, so a row
    count is a position.
    """

    files: tuple[tuple[Source, Format], ...]
    names: Names

    @property
    def fingerprint(self) -> str:
        """Changes when a file, its size or the way of reading it changes."""
        parts = [
            f"{s.path.resolve()}!{s.member}!{s.path.stat().st_size}!{f.name}" for s, f in self.files
        ]
        return sha256("\n".join([*parts, str(self.names)]).encode()).hexdigest()[:16]

    @property
    def in_real_time(self) -> bool:
        """Files are of the past."""
        return False

    @property
    def quiet_lag_us(self) -> None:
        """Their time goes with their ticks."""

    @property
    def span_is_cheap(self) -> bool:
        """Compressed files must be unpacked to find their end."""
        return all(
            source.is_plain or source.path.stat().st_size < CHEAP_BYTES for source, _ in self.files
        )

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats found, for the report."""
        return tuple(sorted({format_.name for _, format_ in self.files}))

    def batches(self, received_us: int) -> Iterator[Batch]:
        """All rows of all files, merged by event time; events more than the contract allows after
        `received_us` are refused.
        """
        if len(self.files) == 1:
            return self._file(*self.files[0], received_us)
        openers = []
        for source, format_ in self.files:
            span = self._span(source, format_, received_us)
            openers.append(
                (span.first_us if span else 0, partial(self._file, source, format_, received_us))
            )
        return merged(openers)

    def span(self, received_us: int) -> Span:
        """First and last event time, from the ends of the files. Raises FeedError when there is no
        tick at all.
        """
        spans = [
            span
            for source, format_ in self.files
            if (span := self._span(source, format_, received_us))
        ]
        if not spans:
            raise FeedError(
                f"no tick in {', '.join(source.name for source, _ in self.files[:3])}",
                "look at its first lines and at --format",
            )
        return Span(min(span.first_us for span in spans), max(span.last_us for span in spans))

    def _file(self, source: Source, format_: Format, received_us: int) -> Iterator[Batch]:
        judge = Judge(source.name, received_us, format_.infer_sides)
        return (judge.batch(chunk) for chunk in format_.read(source, self.names))

    def _span(self, source: Source, format_: Format, received_us: int) -> Span | None:
        judge = Judge(source.name, received_us)
        at_ends = _span(judge.batch(chunk) for chunk in format_.ends(source, self.names))
        # a quiet end (a socket's last block without a trade) still lies within a second or two of
        # the last trade seen
        return at_ends or _span(self._file(source, format_, received_us))


def _span(batches: Iterator[Batch]) -> Span | None:
    ends = [
        b.ticks.select(first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()).row(
            0
        )
        for b in batches
        if b.ticks.height
    ]
    return Span(min(first for first, _ in ends), max(last for _, last in ends)) if ends else None


def open_feed(
    paths: Sequence[str | Path],
    format: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
) -> Feed:
    """The feed in these files or globs.

    Raises FeedError when nothing matches, a file cannot be opened, or its format is unknown (which
    are known, what was seen).
    """
    if format is not None and format not in BY_NAME:
        raise FeedError(f"unknown format {format!r}", f"known formats: {', '.join(BY_NAME)}")
    names = Names(venue, symbol)
    files = tuple(
        (source, BY_NAME[format] if format else detect(source)) for source in expand(paths)
    )
    for source, format_ in files:
        next(
            format_.read(source, names), None
        )  # a name that says no symbol is told before anything is sent
    return Feed(files, names)


def detect(source: Source) -> Format:
    """The format that recognises this file. Raises FeedError naming the known ones and what was
    seen.
    """
    head = source.head()
    for format_ in FORMATS:
        if format_.recognises(head):
            return format_
    raise FeedError(
        f"cannot tell the format of {source.name}: {_seen(head)}",
        f"name it with --format; known:\n    {_known()}",
    )


def _seen(head: Head) -> str:
    if {"bid_price_0", "offer_price_0"} <= head.columns:
        return "it holds quotes, not trades"
    return f"it begins with {head.seen}" if head.columns or any(head.lines) else "it is empty"


def _known() -> str:
    return "\n    ".join(f"{format_.name:20} {format_.shape}" for format_ in FORMATS)
