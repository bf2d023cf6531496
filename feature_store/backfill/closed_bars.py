"""Up to when bars are closed: later ones may still get ticks, and live rows replace them."""

from pyiceberg.exceptions import NoSuchTableError

from contracts.config.settings import Settings
from contracts.durations import SECOND_US
from contracts.errors import DatasetError
from lakehouse.tables import Lakehouse

MARGIN_S = 5.0  # event times may be this far ahead of a message's arrival
COMMITS = 2  # a tick is in silver after at most two checkpoints: one that missed it, and the next


def closed_us(settings: Settings, now_us: int) -> int:
    """A row whose end is not after this time, µs UTC, has all of its ticks in silver.

    Either silver has ticks that are later by more than the lateness, or so much time has passed
    that no tick of the row can be under way.
    """
    lateness_us = settings.lateness_ms * 1000
    commits_us = int(COMMITS * settings.checkpoint_interval_s * SECOND_US)
    settled_us = now_us - lateness_us - commits_us - int(MARGIN_S * SECOND_US)
    try:
        _, last_us = Lakehouse(settings).time_range()
    except (DatasetError, NoSuchTableError):  # no ticks
        return settled_us
    return max(settled_us, min(last_us, now_us) - lateness_us)
