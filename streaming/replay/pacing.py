"""When each tick is due, and what event time it carries: history as it was, or restamped so that it
ends now.
"""

from dataclasses import dataclass

import polars as pl

from contracts.errors import FeedError
from contracts.tick import LONG_MAX
from streaming.feeds.types import Span
from streaming.replay.position import Position

SLOWEST = 0.001  # a minute of the feed takes 17 hours; stretched event times fit 64 bits by far
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Timing:
    """Event times are moved by `offset_us`; the one at `anchor_event_us` is due at
    `anchor_wall_us`, later ones at `speed`.

    `speed` 0 = everything is due at once. `live`: ingest time is the moment of sending, and time
    goes on after the last tick. `stretch` > 1 is slow motion: the time between events, counted from
    the anchor, grows by it.
    """

    speed: float
    offset_us: int = 0
    anchor_event_us: int = 0
    anchor_wall_us: int = 0
    live: bool = False
    run: str = ""
    stretch: float = 1.0

    def moved_us(self, event_us: int) -> int:
        """The event time, µs, that is sent for one of the feed."""
        return self.anchor_event_us + round((event_us - self._origin_us) * self.stretch)

    def moved(self, column: str) -> pl.Expr:
        """The same for a column of event times; exact to the microsecond below 285 years."""
        since = pl.col(column) - self._origin_us
        return ((since * self.stretch).round().cast(pl.Int64) + self.anchor_event_us).alias(column)

    @property
    def _origin_us(self) -> int:
        """The event at the anchor, as the feed has it."""
        return self.anchor_event_us - self.offset_us

    def reached_us(self, now_us: int) -> int:
        """Newest event time (moved) that is due at `now_us`."""
        if self.speed == 0:
            return LONG_MAX
        return self.anchor_event_us + int((now_us - self.anchor_wall_us) * self.speed)

    def due_us(self, event_us: int) -> int:
        """Wall time at which a (moved) event is due."""
        if self.speed == 0:
            return self.anchor_wall_us
        return self.anchor_wall_us + int((event_us - self.anchor_event_us) / self.speed)


def history(first_us: int, speed: float, now_us: int) -> Timing:
    """Times as they are; the first one is due now."""
    return Timing(speed, 0, first_us, now_us)


def as_live(span: Span, speed: float, now_us: int) -> Timing:
    """The last event lands at the moment the replay ends, and no event is due before it happens.

    From speed 1 up, and at 0: one constant offset, so that features are undistorted; the first
    event is L·(1 − 1/speed) back, L being the feed's length (all of L at speed 0). Below 1 such an
    offset would put events into the future, which the live job refuses: there the first event is
    now, and the time between events is stretched by 1/speed. Raises FeedError below `SLOWEST`.
    """
    if 0 < speed < SLOWEST:
        message = f"speed {speed:g} is too slow to move times to now"
        raise FeedError(message, f"say --speed {SLOWEST:g} or more")
    length = span.last_us - span.first_us
    pace, stretch = (1.0, 1 / speed) if 0 < speed < 1 else (speed, 1.0)
    back = length if pace == 0 else int(length * (1 - 1 / pace))
    first = now_us - back
    run = _base36(now_us // 1000)
    return Timing(pace, first - span.first_us, first, now_us, live=True, run=run, stretch=stretch)


def real_time(now_us: int) -> Timing:
    """A feed that lives in the present: an event is due when it happens, what has happened already
    at once.
    """
    return Timing(1.0, 0, now_us, now_us, live=True)


def resumed(position: Position, first_us: int, now_us: int) -> Timing:
    """The timing of an interrupted replay: a live one catches up to its own clock, a history goes
    on at its pace.
    """
    if position.live:
        kept = position
        return Timing(
            kept.speed,
            kept.offset_us,
            kept.anchor_event_us,
            kept.anchor_wall_us,
            live=True,
            run=kept.run,
            stretch=kept.stretch,
        )
    return history(first_us, position.speed, now_us)


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text
