"""Files of real trades for tests."""

from pathlib import Path

from tests.support import real_data

ROOT = real_data.ROOT / "ticks"


def real(name: str) -> Path:
    """A real file of trades."""
    return real_data.real(f"ticks/{name}")
