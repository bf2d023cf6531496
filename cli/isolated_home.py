"""A fresh home for a demonstration, alongside the user's own state."""

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contracts.config.settings import Settings


def fresh(name: str) -> "Settings":
    """Settings whose HOME is an empty folder of that name, also in the environment of every child
    process; the jars are shared.

    What still runs there is stopped first.
    """
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack import platform

    home, jars = settings().root / name, paths.jars(settings())
    os.environ |= {"TICK_HOME": str(home), "TICK_CACHE": str(jars)}
    settings.cache_clear()
    platform.down(settings())
    shutil.rmtree(home, ignore_errors=True)
    return settings()
