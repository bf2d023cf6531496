"""The position of a replay in a file that survives kill -9.

It records how much Kafka has acknowledged without a gap, and how event times were moved.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from contracts.errors import FeedError
from contracts.files import replace_atomically


@dataclass(frozen=True)
class Position:
    """The first `items` ticks and rejects of the feed `fingerprint` are in Kafka, without a gap.

    `offset_us` was added to event times; the event at `anchor_event_us` (already moved) was due at
    `anchor_wall_us`; `stretch` multiplied the time between events. `run` marks the trade ids of a
    restamped replay, so that a second one is not a duplicate of the first.
    """

    fingerprint: str
    items: int = 0
    offset_us: int = 0
    anchor_event_us: int = 0
    anchor_wall_us: int = 0
    speed: float = 0.0
    live: bool = False
    run: str = ""
    finished: bool = False
    stretch: float = 1.0


def save(file: Path, position: Position) -> None:
    """Replace the saved position; it survives a crash of the machine."""
    with replace_atomically(file) as partial:
        partial.write_bytes(orjson.dumps(asdict(position), option=orjson.OPT_INDENT_2))


def load(file: Path) -> Position | None:
    """The saved position, or None. Raises FeedError if the file is not a position file."""
    try:
        return Position(**orjson.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, TypeError) as error:
        raise FeedError(
            f"{file} is not a position file: {error}", "start over with --restart"
        ) from error
