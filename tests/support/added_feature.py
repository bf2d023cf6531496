"""A copy of the contracts with an additional feature, and an environment that imports it."""

import os
import shutil
from pathlib import Path

REPO = Path(__file__).parents[2]
AGGREGATE = '    Aggregate("v_max", "max", "v"),\n'
FEATURE = (
    '    Feature("burstiness", "{v_max} * {rows} / {v}", "1", 1e-3, "{v} = 0", core=(60,),'
    " windows_s=(10, 60, 300)),\n"
)
NEW = {"burstiness_10s": "tick_1s", "burstiness_1m": "tick_1s", "burstiness_5m": "tick_10s"}


def contracts(folder: Path) -> dict[str, str]:
    """Create the copy in `folder`; returns an environment in which Python imports it."""
    return edited(folder, added(AGGREGATE, FEATURE))


def added(aggregate: str, feature: str) -> dict[str, str]:
    """What to replace in the definitions to add these lines."""
    lines = (("AGGREGATES", aggregate), ("FEATURES", feature))
    return {f"\n{name} = (\n": f"\n{name} = (\n{line}" for name, line in lines}


def edited(folder: Path, replacements: dict[str, str]) -> dict[str, str]:
    """Create a copy with these replacements of text that occurs once in the definitions."""
    shutil.copytree(
        REPO / "contracts", folder / "contracts", ignore=shutil.ignore_patterns("__pycache__")
    )
    file = folder / "contracts" / "features.py"
    text = file.read_text()
    for old, new in replacements.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text)
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), str(REPO)))}
