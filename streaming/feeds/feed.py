"""`open_feed`: files of a given or detected format as one stream of validated batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import polars as pl

from contracts.errors import FeedError
from streaming.feeds import binance_socket
from streaming.feeds.formats import binance, canonical, cme, vendors
from streaming.feeds.merge import File, merge
from streaming.feeds.source import Head, Source, expand
from streaming.feeds.types import Batch, Format, Names, Span
from streaming.feeds.validator import Validator

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
    """Files and their formats.

    Reading again yields the same rows in the same order, so the number of items read (ticks and
    rejects) is a position. `left_out`: members of a zip without trades.
    """

    files: tuple[tuple[Source, Format], ...]
    names: Names
    left_out: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of the files, their sizes, times of change and formats, and the names."""
        parts = [f"{_state_of(source.path)}!{source.member}!{f.name}" for source, f in self.files]
        return sha256("\n".join([*parts, str(self.names)]).encode()).hexdigest()[:16]

    @property
    def in_real_time(self) -> bool:
        """False: files contain past events."""
        return False

    @property
    def idle_lag_us(self) -> None:
        """None: event time advances only with the ticks."""

    @property
    def span_is_cheap(self) -> bool:
        """False for large compressed files, which must be decompressed to find their end."""
        return all(
            source.is_plain or source.path.stat().st_size < CHEAP_BYTES for source, _ in self.files
        )

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats, for the report."""
        return tuple(sorted({format_.name for _, format_ in self.files}))

    def batches(self, received_us: int) -> Iterator[Batch]:
        """All rows of all files, merged by event time.

        Events too far after `received_us` are rejected, as the contract requires.
        """
        if len(self.files) == 1:
            return self._file(*self.files[0], received_us)
        return merge([self._opener(*file, received_us) for file in self.files])

    def span(self, received_us: int) -> Span:
        """First and last event time, from the ends of the files.

        Raises FeedError if there are no ticks.
        """
        spans = (self._span(source, format_, received_us) for source, format_ in self.files)
        span = Span.cover(filter(None, spans))
        if span is None:
            raise FeedError(
                f"no tick in {', '.join(source.name for source, _ in self.files[:3])}",
                "check the first lines of the file, or name its format with --format",
            )
        return span

    def _opener(self, source: Source, format_: Format, received_us: int) -> File:
        """For `merge`: the first event time, and what reads the file from its beginning."""
        span = self._span(source, format_, received_us)
        return span.first_us if span else 0, partial(self._file, source, format_, received_us)

    def _file(self, source: Source, format_: Format, received_us: int) -> Iterator[Batch]:
        validator = Validator(source.name, received_us, format_.infer_sides)
        return (validator.batch(chunk) for chunk in format_.read(source, self.names))

    def _span(self, source: Source, format_: Format, received_us: int) -> Span | None:
        validator = Validator(source.name, received_us)
        at_ends = _span(validator.batch(chunk) for chunk in format_.ends(source, self.names))
        # The end of a socket recording may have no trade; its span still ends within a second or
        # two of the last trade. A file without a trade at either end is read completely.
        return at_ends or _span(self._file(source, format_, received_us))


def _state_of(path: Path) -> str:
    """What differs after the file was changed: an edit need not change its size."""
    stat = path.stat()
    return f"{path.resolve()}!{stat.st_size}!{stat.st_mtime_ns}"


def _span(batches: Iterator[Batch]) -> Span | None:
    time_us = pl.col("event_time_us")
    bounds = (batch.ticks.select(first=time_us.min(), last=time_us.max()) for batch in batches)
    return Span.cover(Span(*bound.row(0)) for bound in bounds if bound["first"].null_count() == 0)


def open_feed(
    paths: Sequence[str | Path],
    format: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
) -> Feed:
    """The feed of these files or globs.

    A member of a zip whose format is unknown, such as a note, is left out if another has trades.
    Raises FeedError if nothing matches, a file cannot be opened, or its format is unknown; the
    message lists the known formats and shows how the file begins.
    """
    names, given = Names(venue, symbol), find_format(format)
    files, left_out = _recognise(expand(paths), given)
    for source, format_ in files:
        # Fails here, before anything is sent, if a file name does not contain its symbol.
        next(format_.read(source, names), None)
    return Feed(tuple(files), names, tuple(left_out))


def _recognise(
    sources: Sequence[Source], given: Format | None
) -> tuple[list[tuple[Source, Format]], list[str]]:
    """The files with their formats, and the members of zips that have none."""
    files: list[tuple[Source, Format]] = []
    unknown: list[Source] = []
    for source in sources:
        format_ = given or _match(source.head())
        if format_ is not None:
            files.append((source, format_))
        else:
            unknown.append(source)
    with_trades = {source.path for source, _ in files}
    for source in unknown:
        if not source.member or source.path not in with_trades:
            detect(source)  # raises the error of this file
    return files, [f"{source.member} in {source.path.name}" for source in unknown]


def find_format(name: str | None) -> Format | None:
    """The format with this name, None without a name. Raises FeedError with the known names."""
    if name is None:
        return None
    if name not in BY_NAME:
        raise FeedError(f"unknown format {name!r}", f"known formats: {', '.join(BY_NAME)}")
    return BY_NAME[name]


def detect(source: Source) -> Format:
    """The first format that recognises this file.

    Raises FeedError with the known formats and the beginning of the file.
    """
    head = source.head()
    format_ = _match(head)
    if format_ is None:
        raise FeedError(
            f"cannot tell the format of {source.name}: {_describe(head)}",
            f"name it with --format; known formats:\n    {_list_formats()}",
        )
    return format_


def _match(head: Head) -> Format | None:
    return next((format_ for format_ in FORMATS if format_.recognises(head)), None)


def _describe(head: Head) -> str:
    if {"bid_price_0", "offer_price_0"} <= head.columns:
        return "it contains quotes, not trades"
    return f"it begins with {head.shown}" if head.columns or any(head.lines) else "it is empty"


def _list_formats() -> str:
    return "\n    ".join(f"{format_.name:20} {format_.shape}" for format_ in FORMATS)
