"""Folder of the real data for tests: TICK_TEST_DATA, by default ../shared/data."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("TICK_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def real(name: str) -> Path:
    """A real file. Where it is missing the test fails under CI=true and is skipped otherwise."""
    file = ROOT / name
    if not file.is_file():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            f"{file} is missing: set TICK_TEST_DATA"
        )
    return file
