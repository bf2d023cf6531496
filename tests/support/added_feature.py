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
    shutil.copytree(
        REPO / "contracts", folder / "contracts", ignore=shutil.ignore_patterns("__pycache__")
    )
    file = folder / "contracts" / "features.py"
    text = file.read_text()
    for name, line in (("AGGREGATES", AGGREGATE), ("FEATURES", FEATURE)):
        assert text.count(f"\n{name} = (\n") == 1
        text = text.replace(f"\n{name} = (\n", f"\n{name} = (\n{line}")
    file.write_text(text)
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), str(REPO)))}
