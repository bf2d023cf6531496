"""A fitted LightGBM booster → a model folder (LightGBM's own text and manifest), compared with the
original before anyone trusts it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RegistryError
from models.runtime import DIFFERENCE_MAX, LIGHTGBM_FILE, Exported, Manifest, file_sha256, load

GOLDEN_ROWS = 32


def export(
    booster: Any,
    rows: NDArray[Any],
    folder: Path,
    *,
    features: tuple[str, ...],
    trained_on: str,
    trained_to_us: int,
    horizon_s: int,
) -> Exported:
    """Write the booster's best iteration into `folder` and compare on `rows` (hold-out, rows ×
    features, float32 as the runtime has them).

    Equal boosters make equal folders, hence equal digests. Raises RegistryError when the file
    answers otherwise than the booster.
    """
    folder.mkdir(parents=True, exist_ok=True)
    narrow = np.ascontiguousarray(rows, dtype=np.float32)
    (folder / LIGHTGBM_FILE).write_text(
        booster.model_to_string(num_iteration=booster.best_iteration or -1)
    )
    answers = np.asarray(
        booster.predict(narrow, num_iteration=booster.best_iteration or -1, num_threads=1)
    )
    golden = np.linspace(0, len(narrow) - 1, min(GOLDEN_ROWS, len(narrow)), dtype=int)
    manifest = Manifest(
        sha256=file_sha256(folder / LIGHTGBM_FILE),
        features=features,
        trained_on=trained_on,
        trained_to_us=trained_to_us,
        horizon_s=horizon_s,
        golden_rows=tuple(tuple(map(float, row)) for row in narrow[golden]),
        golden_forecasts=tuple(map(float, answers[golden])),
        file=LIGHTGBM_FILE,
    )
    digest = manifest.write(folder)
    difference = float(np.abs(load(folder, digest).predict(narrow) - answers).max())
    if not difference <= DIFFERENCE_MAX:
        raise RegistryError(
            f"the written model differs from the original by {difference:g}",
            "LightGBM's text does not fit this booster",
        )
    return Exported(folder, digest, difference)
