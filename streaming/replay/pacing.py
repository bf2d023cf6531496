"""Pacing: when each tick is due, and whether its event time is kept or moved to the present."""

from dataclasses import dataclass, replace

import polars as pl

from contracts.errors import FeedError
from contracts.tick import LONG_MAX
from streaming.feeds.types import Span
from streaming.replay.position import Position

SLOWEST = 0.001  # a minute of the feed takes 17 hours; stretched event times still fit 64 bits
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Pacing:
    """How event times are moved, and when they are due.

    Event times are moved by `offset_us`. The event at `anchor_event_us` is due at `anchor_wall_us`,
    later ones at `speed`; 0 = everything is due at once. `anchor_event_us` is None until the first
    tick of a replay with original times. `follows_clock`: event time advances after the last tick,
    and ingest time is the time of sending (of an exchange: of arrival). `id_suffix` marks the trade
    ids of a replay with moved times. `stretch` > 1 is slow motion: it multiplies the time between
    an event and the anchor.
    """

    speed: float
    offset_us: int = 0
    anchor_event_us: int | None = None
    anchor_wall_us: int = 0
    follows_clock: bool = False
    id_suffix: str = ""
    stretch: float = 1.0

    def move_us(self, event_us: int) -> int:
        """The event time (µs) that is sent for an event time of the feed."""
        return self._anchor_us + round((event_us - self._origin_us) * self.stretch)

    def move(self, column: str) -> pl.Expr:
        """`move_us` for a column of event times; exact to the microsecond up to 285 years."""
        since = pl.col(column) - self._origin_us
        return ((since * self.stretch).round().cast(pl.Int64) + self._anchor_us).alias(column)

    @property
    def _anchor_us(self) -> int:
        """The event time of the anchor; 0 without one, which moves nothing."""
        return self.anchor_event_us or 0

    @property
    def _origin_us(self) -> int:
        """The event time of the anchor in the feed, before it is moved."""
        return self._anchor_us - self.offset_us

    def due_to_us(self, now_us: int) -> int:
        """The newest moved event time that is due at `now_us`."""
        if self.speed == 0:
            return LONG_MAX
        return self._anchor_us + int((now_us - self.anchor_wall_us) * self.speed)

    def due_us(self, event_us: int) -> int:
        """The wall time at which a moved event time is due."""
        if self.speed == 0:
            return self.anchor_wall_us
        return self.anchor_wall_us + int((event_us - self._anchor_us) / self.speed)


def original_times(speed: float) -> Pacing:
    """Event times are kept; the first tick becomes the anchor (see `anchor`)."""
    return Pacing(speed)


def anchor(pacing: Pacing, first_us: int, now_us: int) -> Pacing:
    """The pacing with an anchor: its own, else the first event, which is due now."""
    if pacing.anchor_event_us is not None:
        return pacing
    return replace(pacing, anchor_event_us=first_us, anchor_wall_us=now_us)


def as_live(span: Span, speed: float, now_us: int) -> Pacing:
    """The last event gets the time at which the replay ends; no event is sent before its time.

    At speed 0 and from speed 1 on, one constant offset keeps features undistorted: the first event
    is moved to L·(1 − 1/speed) before now, L being the length of the feed (at speed 0 to L before
    now). Below speed 1 a constant offset would put events into the future, which the live job
    rejects: there the first event is now, and the time between events is stretched by 1/speed.
    Raises FeedError below `SLOWEST`.
    """
    if 0 < speed < SLOWEST:
        message = f"speed {speed:g} is too slow to move event times"
        raise FeedError(message, f"use --speed {SLOWEST:g} or more")
    length = span.last_us - span.first_us
    pace, stretch = (1.0, 1 / speed) if 0 < speed < 1 else (speed, 1.0)
    back = length if pace == 0 else int(length * (1 - 1 / pace))
    first = now_us - back
    suffix = _base36(now_us // 1000)
    offset = first - span.first_us
    return Pacing(
        pace, offset, first, now_us, follows_clock=True, id_suffix=suffix, stretch=stretch
    )


def real_time(now_us: int) -> Pacing:
    """Pacing of a feed in real time: an event is due at its event time, past events at once."""
    return Pacing(1.0, 0, now_us, now_us, follows_clock=True)


def at_once(now_us: int) -> Pacing:
    """Pacing of an exchange: a trade has happened when it arrives, whatever our clock says."""
    return Pacing(0.0, 0, now_us, now_us, follows_clock=True)


def resume(position: Position) -> Pacing:
    """The pacing of an interrupted replay.

    One that follows the clock keeps its anchor and catches up; one with original times continues at
    its speed from its next tick on.
    """
    if position.follows_clock:
        return Pacing(
            position.speed,
            position.offset_us,
            position.anchor_event_us,
            position.anchor_wall_us,
            follows_clock=True,
            id_suffix=position.id_suffix,
            stretch=position.stretch,
        )
    return original_times(position.speed)


def position_of(pacing: Pacing, fingerprint: str, items: int) -> Position:
    """The position of a replay at this pacing, from which `resume` restores it."""
    return Position(
        fingerprint,
        items,
        pacing.offset_us,
        pacing.anchor_event_us or 0,
        pacing.anchor_wall_us,
        pacing.speed,
        pacing.follows_clock,
        pacing.id_suffix,
        stretch=pacing.stretch,
    )


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text
