"""When each tick is due, and what event time it carries: history as it was, or restamped so that it ends now."""

from dataclasses import dataclass

from contracts.tick import LONG_MAX
from streaming.feeds.model import Span
from streaming.position import Position

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Timing:
    """Event times are moved by `offset_us`; the one at `anchor_event_us` is due at `anchor_wall_us`, later ones at `speed`.

    `speed` 0 = everything is due at once. `live`: ingest time is the moment of sending, and time goes on after the last tick.
    """

    speed: float
    offset_us: int = 0
    anchor_event_us: int = 0
    anchor_wall_us: int = 0
    live: bool = False
    run: str = ""

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
    """One constant offset, so that features are undistorted, and the last event lands at the moment the replay ends.

    The first event lies L·(1 − 1/speed) back, L being the feed's length (all of L at speed 0).
    """
    length = span.last_us - span.first_us
    back = length if speed == 0 else int(length * (1 - 1 / speed))
    first = now_us - back
    return Timing(speed, first - span.first_us, first, now_us, live=True, run=_base36(now_us // 1000))


def real_time(now_us: int) -> Timing:
    """A feed that lives in the present: an event is due when it happens, what has happened already at once."""
    return Timing(1.0, 0, now_us, now_us, live=True)


def resumed(position: Position, first_us: int, now_us: int) -> Timing:
    """The timing of an interrupted replay: a live one catches up to its own clock, a history goes on at its pace."""
    if position.live:
        kept = position
        return Timing(kept.speed, kept.offset_us, kept.anchor_event_us, kept.anchor_wall_us, live=True, run=kept.run)
    return history(first_us, position.speed, now_us)


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text
