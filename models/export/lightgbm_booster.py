"""Export of a fitted LightGBM booster to a model folder (LightGBM's text format and manifest).

The forecasts of the exported file are compared with those of the original.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.seal import golden_indices, seal_model
from models.runtime import LIGHTGBM_FILE, ExportedModel, Manifest, file_sha256

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
    golden = golden_indices(len(samples), GOLDEN_ROWS)
    manifest = Manifest(
        sha256=file_sha256(model_path),
        features=features,
        trained_on=trained_on,
        trained_to_us=trained_to_us,
        horizon_s=horizon_s,
        golden_rows=tuple(map(tuple, samples[golden].tolist())),
        golden_forecasts=tuple(expected[golden].tolist()),
        file=LIGHTGBM_FILE,
    )
    return seal_model(
        folder,
        manifest,
        samples,
        expected,
        subject="written model",
        hint="LightGBM's text format does not support this booster",
    )
