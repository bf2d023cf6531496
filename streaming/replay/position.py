"""The position of a replay in a file that survives kill -9.

It records how much Kafka has acknowledged without a gap, and how event times were moved.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from contracts.errors import FeedError
from contracts.files import replace_atomically

# Fields that have another name in the file.
STORED_NAMES = {"follows_clock": "live", "id_suffix": "run"}
_FIELDS = {stored: name for name, stored in STORED_NAMES.items()}


@dataclass(frozen=True)
class Position:
    """The first `items` ticks and rejects of the feed `fingerprint` are in Kafka, without a gap.

    Event times were moved so that the event at `anchor_event_us` (already moved by `offset_us`) was
    due at `anchor_wall_us`; `stretch` multiplied the time between the other events and it.
    `id_suffix` marks the trade ids of a replay with moved times, so that a second one is not a
    duplicate of the first. `received_us` is the time against which the first run validated: a row
    that it rejected as one of the future would otherwise be a tick of the next run, and shift the
    count. 0: a position of an older version, without it.
    """

    fingerprint: str
    items: int = 0
    offset_us: int = 0
    anchor_event_us: int = 0
    anchor_wall_us: int = 0
    speed: float = 0.0
    follows_clock: bool = False
    id_suffix: str = ""
    finished: bool = False
    stretch: float = 1.0
    received_us: int = 0


def save(file: Path, position: Position) -> None:
    """Replace the saved position; it survives a crash of the machine."""
    stored = {STORED_NAMES.get(name, name): value for name, value in asdict(position).items()}
    with replace_atomically(file) as partial:
        partial.write_bytes(orjson.dumps(stored, option=orjson.OPT_INDENT_2))


def load(file: Path) -> Position | None:
    """The saved position, or None. Raises FeedError if the file is not a position file."""
    try:
        stored = orjson.loads(file.read_bytes())
        return Position(**{_FIELDS.get(name, name): value for name, value in stored.items()})
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, TypeError, AttributeError) as error:
        raise FeedError(
            f"{file} is not a position file: {error}", "start over with --restart"
        ) from error
