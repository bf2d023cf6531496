"""The command lines of all processes of this machine."""

from collections.abc import Iterator
from pathlib import Path


def command_lines() -> Iterator[str]:
    """The command line of every process, as any user can read it."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_text(errors="replace").replace("\0", " ")
        except OSError:  # ended in the meantime
            continue
