"""Last step of every export: write the manifest, and compare the file with the original model."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RegistryError
from models.runtime import ExportedModel, Manifest, load_model


def golden_indices(row_count: int, golden_max: int) -> NDArray[np.int_]:
    """Indices of the golden rows: at most `golden_max` of `row_count`, evenly spread."""
    return np.linspace(0, row_count - 1, min(golden_max, row_count), dtype=int)


def seal_model(
    folder: Path,
    manifest: Manifest,
    rows: NDArray[Any],
    expected: NDArray[Any],
    *,
    subject: str,
    hint: str,
) -> ExportedModel:
    """Write `manifest` into `folder`, next to its model file, and compare the forecasts of `rows`.

    `expected` are the original's forecasts. Raises RegistryError, with `subject` and `hint`, if one
    differs by more than the manifest allows.
    """
    digest = manifest.write(folder)
    forecasts = load_model(folder, digest).predict(rows)
    difference = float(np.abs(forecasts - expected).max())
    if not difference <= manifest.difference_max:  # also true for NaN
        raise RegistryError(f"the {subject} differs from the original by {difference:g}", hint)
    return ExportedModel(folder, digest, difference)
