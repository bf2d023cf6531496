"""Export of a fitted LightGBM booster to a model folder (LightGBM's text format and manifest).

The forecasts of the exported file are compared with those of the original.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RegistryError
from models.runtime import (
    DIFFERENCE_MAX,
    LIGHTGBM_FILE,
    ExportedModel,
    Manifest,
    file_sha256,
    load_model,
)

GOLDEN_ROWS = 32


def export_booster(
    booster: Any,
    rows: NDArray[Any],
    folder: Path,
    *,
    features: tuple[str, ...],
    trained_on: str,
    trained_to_us: int,
    horizon_s: int,
) -> ExportedModel:
    """Write the booster, up to its best iteration, into `folder` and compare forecasts of `rows`.

    `rows` is a (rows × features) matrix of hold-out samples, compared as float32, the runtime's
    type. The other arguments are those of `Manifest`. Equal boosters give equal digests. Raises
    RegistryError if a forecast differs by more than DIFFERENCE_MAX.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model_path = folder / LIGHTGBM_FILE
    samples = np.ascontiguousarray(rows, dtype=np.float32)
    iterations = booster.best_iteration or -1
    model_path.write_text(booster.model_to_string(num_iteration=iterations))
    expected = np.asarray(booster.predict(samples, num_iteration=iterations, num_threads=1))
    golden = np.linspace(0, len(samples) - 1, min(GOLDEN_ROWS, len(samples)), dtype=int)
    manifest = Manifest(
        sha256=file_sha256(model_path),
        features=features,
        trained_on=trained_on,
        trained_to_us=trained_to_us,
        horizon_s=horizon_s,
        golden_rows=tuple(tuple(map(float, row)) for row in samples[golden]),
        golden_forecasts=tuple(map(float, expected[golden])),
        file=LIGHTGBM_FILE,
    )
    digest = manifest.write(folder)
    difference = float(np.abs(load_model(folder, digest).predict(samples) - expected).max())
    if not difference <= DIFFERENCE_MAX:  # also true for NaN
        raise RegistryError(
            f"the written model differs from the original by {difference:g}",
            "LightGBM's text format does not support this booster",
        )
    return ExportedModel(folder, digest, difference)
