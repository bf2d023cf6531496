"""The ledger of finished chunks: lets the next backfill continue where a killed one stopped.

One small JSON file, replaced atomically after each chunk. A chunk that is not in it, or was
computed from other ticks or definitions, is computed again: the ledger saves work, it never decides
what is correct.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.home import HomeSettings
from contracts.files import replace_atomically
from feature_store.backfill.chunks import Chunk
from lakehouse import leases
from lakehouse.leases import Lease
from lakehouse.schemas import GOLD


@dataclass
class Ledger:
    """Input digest of each finished chunk, by chunk and symbols (comma-separated, or * for all)."""

    file: Path
    done: dict[tuple[Chunk, str], str]

    def is_done(self, chunk: Chunk, who: str, digest: str) -> bool:
        """Whether gold already has exactly this chunk."""
        return self.done.get((chunk, who)) == digest

    def record(self, chunk: Chunk, who: str, digest: str) -> None:
        """Record a chunk and drop those whose rows it replaced; on disk when this returns."""
        untouched = {
            key: digest_ for key, digest_ in self.done.items() if not overlaps(key[0], chunk)
        }
        self.done = untouched | {(chunk, who): digest}
        lines = [
            {"from_us": c.from_us, "to_us": c.to_us, "who": symbols, "digest": digest_}
            for (c, symbols), digest_ in self.done.items()
        ]
        with replace_atomically(self.file) as partial:
            partial.write_text(json.dumps(lines))


def overlaps(one: Chunk, other: Chunk) -> bool:
    """Whether two chunks overlap."""
    return one.from_us < other.to_us and other.from_us < one.to_us


def folder(settings: HomeSettings) -> Path:
    """Folder of the ledger."""
    return settings.root / "lakehouse" / "backfill"


def read_ledger(settings: HomeSettings) -> Ledger:
    """The ledger; empty when the file is missing or unreadable."""
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


def clear(settings: HomeSettings) -> None:
    """Delete the ledger, so that the next backfill computes every chunk. Call it under
    `exclusive_access`."""
    (folder(settings) / "ledger.json").unlink(missing_ok=True)


@contextmanager
def exclusive_access(settings: LakehouseSettings, holder: str) -> Iterator[Lease]:
    """Exclusive access to gold and the ledger for `holder`, such as "a backfill", on all hosts.

    Waits up to `lease_wait_s`. Raises LeaseError, naming the holder, when it is still held then.
    """
    with leases.lease(settings, leases.BACKFILL, holder=holder, guarded=(GOLD,)) as held:
        yield held
