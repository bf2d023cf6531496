"""Which chunks of gold.tick_features are done, and from what: the next run of a backfill begins where the last one was killed.

One small JSON file, replaced atomically after each swap. A chunk that is not in it, or was made from other ticks or definitions,
is simply computed again: the ledger saves work, it never decides what is true.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import JobError
from contracts.settings import Settings
from feature_store.chunks import Chunk


@dataclass
class Ledger:
    """Digest of the inputs of each chunk done, by chunk and by whom it was computed for (symbols, or * for all)."""

    file: Path
    done: dict[tuple[Chunk, str], str]

    def is_done(self, chunk: Chunk, who: str, digest: str) -> bool:
        """Whether this very chunk stands in gold already."""
        return self.done.get((chunk, who)) == digest

    def note(self, chunk: Chunk, who: str, digest: str) -> None:
        """Remember a chunk, and forget those whose rows it replaced; on disk when this returns."""
        self.done = {place: kept for place, kept in self.done.items() if not overlap(place[0], chunk)} | {(chunk, who): digest}
        lines = [{"from_us": c.from_us, "to_us": c.to_us, "who": name, "digest": kept} for (c, name), kept in self.done.items()]
        partial = self.file.with_suffix(".part")
        with partial.open("w") as out:
            json.dump(lines, out)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(self.file)


def overlap(one: Chunk, other: Chunk) -> bool:
    """Whether two chunks share a moment."""
    return one.from_us < other.to_us and other.from_us < one.to_us


def folder(settings: Settings) -> Path:
    """Where the ledger and the lock lie; safe to delete, which makes the next backfill compute everything again."""
    return settings.root / "lakehouse" / "backfill"


def read(settings: Settings) -> Ledger:
    """The ledger as it stands; empty when there is none that can be read."""
    file = folder(settings) / "ledger.json"
    try:
        lines = json.loads(file.read_text())
        return Ledger(file, {(Chunk(line["from_us"], line["to_us"]), line["who"]): line["digest"] for line in lines})
    except (OSError, ValueError, TypeError, KeyError):
        return Ledger(file, {})


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One backfill at a time; the system frees the lock of one that was killed. Raises JobError when another one runs."""
    folder(settings).mkdir(parents=True, exist_ok=True)
    with (folder(settings) / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobError("another backfill runs on this lakehouse", "wait for it, or end it: it continues where it was") from None
        yield
