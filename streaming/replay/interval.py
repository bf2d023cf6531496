"""What happens at an interval while a replay runs."""

from dataclasses import dataclass


@dataclass
class Interval:
    """Due at once, and then whenever `length_us` have passed since it was last due."""

    length_us: int
    next_us: int = 0

    @classmethod
    def of_seconds(cls, length_s: float) -> "Interval":
        """An interval of this many seconds."""
        return cls(int(length_s * 1e6))

    def is_due(self, now_us: int) -> bool:
        """Whether it is due at `now_us`; if so, the next time is an interval later."""
        if now_us < self.next_us:
            return False
        self.next_us = now_us + self.length_us
        return True
