"""Which chunks of gold.tick_features are done, and from what: the next run of a backfill begins
where the last one was killed.

One small JSON file, replaced atomically after each swap. A chunk that is not in it, or was made
from other ticks or definitions, is simply computed again: the ledger saves work, it never decides
what is true.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import JobError
from contracts.files import locked, replacing
from feature_store.backfill.chunks import Chunk

HOLDER_CHARS = 200  # far longer than what `alone` writes


@dataclass
class Ledger:
    """Digest of the inputs of each chunk done, by chunk and by whom it was computed for (symbols,
    or * for all).
    """

    file: Path
    done: dict[tuple[Chunk, str], str]

    def is_done(self, chunk: Chunk, who: str, digest: str) -> bool:
        """Whether this very chunk stands in gold already."""
        return self.done.get((chunk, who)) == digest

    def note(self, chunk: Chunk, who: str, digest: str) -> None:
        """Remember a chunk, and forget those whose rows it replaced; on disk when this returns."""
        self.done = {
            place: kept for place, kept in self.done.items() if not overlap(place[0], chunk)
        } | {(chunk, who): digest}
        lines = [
            {"from_us": c.from_us, "to_us": c.to_us, "who": name, "digest": kept}
            for (c, name), kept in self.done.items()
        ]
        with replacing(self.file) as partial:
            partial.write_text(json.dumps(lines))


def overlap(one: Chunk, other: Chunk) -> bool:
    """Whether two chunks share a moment."""
    return one.from_us < other.to_us and other.from_us < one.to_us


def folder(settings: Settings) -> Path:
    """Folder of ledger and lock. Never delete the lock: its holder would no longer exclude
    others."""
    return settings.root / "lakehouse" / "backfill"


def read(settings: Settings) -> Ledger:
    """The ledger as it stands; empty when there is none that can be read."""
    file = folder(settings) / "ledger.json"
    try:
        lines = json.loads(file.read_text())
        return Ledger(
            file,
            {
                (Chunk(line["from_us"], line["to_us"]), line["who"]): line["digest"]
                for line in lines
            },
        )
    except (OSError, ValueError, TypeError, KeyError):
        return Ledger(file, {})


def forget(settings: Settings) -> None:
    """Delete the ledger: the next backfill computes every chunk again. Call it under `alone`."""
    (folder(settings) / "ledger.json").unlink(missing_ok=True)


@contextmanager
def alone(settings: Settings, holder: str) -> Iterator[None]:
    """Exclusive access to gold and the ledger for `holder`, such as "a backfill".

    The system frees the lock of a killed process. Raises JobError, naming the holder, when it is
    taken.
    """
    file = folder(settings) / "lock"
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(locked(file, wait=False))
        except BlockingIOError:
            other = file.read_text()[:HOLDER_CHARS] or "another process"
            hint = "wait until it has ended, or end it; a backfill continues where it was"
            raise JobError(f"{other} is running on this lakehouse", hint) from None
        lock.truncate(0)
        lock.write(f"{holder} (PID {os.getpid()}, since {_utc(now_us())} UTC)")
        lock.flush()
        yield


def _utc(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
