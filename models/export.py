"""A fitted scikit-learn estimator → a model folder (ONNX and manifest), compared with the original
before anyone trusts it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx

from contracts.errors import RegistryError
from models.runtime import DIFFERENCE_MAX, MODEL_FILE, Exported, Manifest, file_sha256, load

OPSET = {
    "": 15,
    "ai.onnx.ml": 3,
}  # the newest that the pinned converter and runtime both know in full
GOLDEN_ROWS = 32
EDGE_NODES_PER_TREE = 10
Floats32 = NDArray[np.float32]


def edge_rows(estimator: Any, rows: Floats32, seed: int) -> Floats32:
    """Rows that lie exactly on split thresholds of a forest, and one float32 to either side: where
    conversions go wrong.
    """
    rng = np.random.default_rng(seed)
    edges = []
    for tree in (member.tree_ for member in getattr(estimator, "estimators_", [])):
        inner = np.flatnonzero(tree.feature >= 0)
        for node in rng.choice(inner, min(EDGE_NODES_PER_TREE, len(inner)), replace=False):
            threshold = np.float32(tree.threshold[node])
            for value in (
                threshold,
                np.nextafter(threshold, np.float32(np.inf)),
                np.nextafter(threshold, np.float32(-np.inf)),
            ):
                row = rows[rng.integers(len(rows))].copy()
                row[tree.feature[node]] = value
                edges.append(row)
    return np.array(edges, dtype=np.float32).reshape(-1, rows.shape[1])


def export(
    estimator: Any,
    rows: NDArray[Any],
    folder: Path,
    *,
    features: tuple[str, ...],
    trained_on: str,
    trained_to_us: int,
    horizon_s: int,
    seed: int,
) -> Exported:
    """Convert into `folder` and compare on `rows` (hold-out, rows × features) and on rows at the
    thresholds.

    Raises RegistryError when a forecast differs by more than DIFFERENCE_MAX.
    """
    folder.mkdir(parents=True, exist_ok=True)
    narrow = np.ascontiguousarray(rows, dtype=np.float32)
    (folder / MODEL_FILE).write_bytes(
        to_onnx(estimator, narrow[:1], target_opset=OPSET).SerializeToString()
    )
    golden = narrow[np.linspace(0, len(narrow) - 1, min(GOLDEN_ROWS, len(narrow)), dtype=int)]
    golden_forecasts = estimator.predict(golden)
    manifest = Manifest(
        sha256=file_sha256(folder / MODEL_FILE),
        features=features,
        trained_on=trained_on,
        trained_to_us=trained_to_us,
        horizon_s=horizon_s,
        golden_rows=tuple(tuple(map(float, row)) for row in golden),
        golden_forecasts=tuple(map(float, golden_forecasts)),
    )
    digest = manifest.write(folder)
    probes = np.concatenate([narrow, edge_rows(estimator, narrow, seed)])
    difference = float(
        np.abs(load(folder, digest).predict(probes) - estimator.predict(probes)).max()
    )
    if not difference <= DIFFERENCE_MAX:
        raise RegistryError(
            f"the converted model differs from the original by {difference:g}",
            "the converter does not fit this estimator",
        )
    return Exported(folder, digest, difference)
