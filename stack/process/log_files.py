"""Log files of services, whose size is bounded while the services write to them."""

import os
import shutil
from pathlib import Path

from contracts.files import replace_atomically

MIB = 2**20
LOG_TAIL_LINES = 12
TAIL_BYTES = 65_536


def rotate(log: Path, mb_max: int) -> bool:
    """Move the content of a log that is larger than `mb_max` MiB to `<log>.1`; returns whether it
    was.

    The service keeps the file open, so it is copied and truncated: as it is open for appending, the
    next line is written to its beginning. Lines of the milliseconds between the two are lost.
    """
    if not log.exists() or log.stat().st_size <= mb_max * MIB:
        return False
    old = log.with_suffix(".log.1")
    old.unlink(missing_ok=True)  # first, because the disk may be full
    with replace_atomically(old, durable=False) as partial:
        shutil.copyfile(log, partial)
        partial.chmod(0o600)
    os.truncate(log, 0)
    return True


def log_tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
