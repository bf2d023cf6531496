"""The levels of time: 1 s tiles, merged into 10 s and 1 min bars, and the rolling windows per
level.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """One level: rows of `tile_s` seconds, published as Feast view `view`, with windows of
    `windows_s`.
    """

    view: str
    tile_s: int
    windows_s: tuple[int, ...]

    @property
    def window_max_s(self) -> int:
        return self.windows_s[-1]


LEVELS = (
    Level("tick_1s", 1, (10, 60)),
    Level("tick_10s", 10, (300, 900)),
    Level("tick_1m", 60, (3600,)),
)

_LEVEL_OF = {window_s: level for level in LEVELS for window_s in level.windows_s}

LABELS = {10: "10s", 60: "1m", 300: "5m", 900: "15m", 3600: "1h"}

# Cap of `warm_s`: the longest window, so that a restarted job and a backfill agree as soon as both
# are warm.
WARM_CAP_S = 3600


def level_of(window_s: int) -> Level:
    """The level whose rows have the window of `window_s` seconds. Raises KeyError for an unknown
    window.
    """
    return _LEVEL_OF[window_s]
