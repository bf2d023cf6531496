"""Writes every statement of the live job and of a backfill to a file each.

It shows that a change does not alter the SQL: run `python -m tests.support.rendered_sql FOLDER` on
both versions, then `diff -r BEFORE AFTER`. To map renamed tables, views and columns back, add
`new=old…`.
"""

import re
import sys
from pathlib import Path

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from feature_store.backfill import run as backfill
from feature_store.backfill.chunks import Chunk, Lookback
from feature_store.flink.program import Program
from feature_store.sql import windows
from streaming.job import job

START_US = 1_709_078_400_000_000


def programs() -> dict[str, Program]:
    """The live job, and a backfill with and without duplicates of trades."""
    settings = Settings(home=Path("/tick"))
    chunk, lookback = Chunk(START_US, START_US + DAY_US), Lookback(START_US - DAY_US)
    everything = backfill.ChunkSource(lookback, duplicates=False)
    some = backfill.ChunkSource(lookback, ("V:A",), 7, duplicates=True)
    return {
        "live": job.program(settings, "/tick/flink/checkpoints/x/chk-1"),
        "backfill": backfill.program(settings, chunk, some, "lakehouse.staging.x"),
        "backfill_distinct": backfill.program(settings, chunk, everything, "lakehouse.staging.x"),
    }


def statements(program: Program) -> dict[str, str]:
    """Text of each statement, by a descriptive name."""
    texts = {f"ddl_{number:02}": text for number, text in enumerate(program.ddl)}
    texts |= {f"view_{number:02}_{name}": text for number, (name, text) in enumerate(program.views)}
    texts |= {f"insert_{number:02}": text for number, text in enumerate(program.inserts)}
    return texts | {"options": "\n".join(f"{k}={v}" for k, v in sorted(program.options.items()))}


def main(folder: Path, renames: dict[str, str]) -> None:
    """Write all files below `folder`; `renames` maps new names to old ones."""
    for kind, program in programs().items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, text in statements(program).items():
            file = folder / kind / f"{mapped(name, renames)}.sql"
            file.write_text(mapped(text, renames) + "\n")
    views = "\n\n".join(text for _, text in windows.to_pairs(windows.ladder("batch")))
    (folder / "definition.sql").write_text(mapped(views, renames) + "\n")


def mapped(text: str, renames: dict[str, str]) -> str:
    """The text with each renamed word mapped back."""
    return re.sub(r"\w+", lambda word: renames.get(word[0], word[0]), text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), dict(pair.split("=", 1) for pair in sys.argv[2:]))
