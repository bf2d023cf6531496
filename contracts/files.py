"""Files that are replaced as a whole while others read them, and locks between processes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def replace_atomically(file: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path to write the new content of `file` to; it takes the place of `file` at the end.

    Readers see the old content or the new one, never a part; if `durable`, also after a crash of
    the machine. After an error the old content stays. A missing folder is made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{os.getpid()}.{file.name}")  # libraries look at the suffix
    partial.unlink(missing_ok=True)  # of a killed process: in a container PIDs repeat
    try:
        yield partial
        if durable:
            _sync(partial)
        partial.replace(file)
        if durable:
            _sync(file.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock(file: Path, *, wait: bool) -> Iterator[TextIO]:
    """Hold an exclusive lock on `file`; yields it, open to append. A missing file is made.

    The system frees the lock of a killed process. Never delete the file: its holder would no longer
    exclude others. Raises BlockingIOError when another process holds it, unless `wait`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
