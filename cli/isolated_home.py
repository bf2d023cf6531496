"""A separate, empty home for a demonstration, next to the user's own state."""

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contracts.config.settings import Settings


def create_isolated_home(name: str) -> "Settings":
    """Create an empty folder with this name in the home and make it the home of this process and of
    its child processes; the jar cache stays shared.

    Services that still run there are stopped first.
    """
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack import platform

    home = settings().root / name
    os.environ |= {"TICK_HOME": str(home), "TICK_CACHE": str(paths.jars(settings()))}
    settings.cache_clear()
    platform.down(settings())
    shutil.rmtree(home, ignore_errors=True)
    return settings()
