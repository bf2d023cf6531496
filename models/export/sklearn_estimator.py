"""Export of a fitted scikit-learn estimator to a model folder (ONNX and manifest).

The forecasts of the exported file are compared with those of the original.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx

from models.export.seal import golden_indices, seal_model
from models.runtime import MODEL_FILE, ExportedModel, Manifest, file_sha256

# The newest opsets that both the pinned converter and the pinned runtime support completely.
OPSET = {"": 15, "ai.onnx.ml": 3}
GOLDEN_ROWS = 32
EDGE_NODES_PER_TREE = 10
Floats32 = NDArray[np.float32]


def edge_rows(estimator: Any, rows: Floats32, seed: int) -> Floats32:
    """Rows exactly on split thresholds of a forest, and one float32 to either side.

    Conversions go wrong there first: float64 thresholds are rounded to float32. Returns a
    (3 × nodes × trees, features) matrix; empty for an estimator that is not a forest.
    """
    rng = np.random.default_rng(seed)
    edges = []
    for tree in (member.tree_ for member in getattr(estimator, "estimators_", [])):
        inner_nodes = np.flatnonzero(tree.feature >= 0)
        node_count = min(EDGE_NODES_PER_TREE, len(inner_nodes))
        for node in rng.choice(inner_nodes, node_count, replace=False):
            threshold = np.float32(tree.threshold[node])
            above = np.nextafter(threshold, np.float32(np.inf))
            below = np.nextafter(threshold, np.float32(-np.inf))
            for value in (threshold, above, below):
                row = rows[rng.integers(len(rows))].copy()
                row[tree.feature[node]] = value
                edges.append(row)
    return np.array(edges, dtype=np.float32).reshape(-1, rows.shape[1])


def export_estimator(
    estimator: Any,
    rows: NDArray[Any],
    folder: Path,
    *,
    features: tuple[str, ...],
    trained_on: str,
    trained_to_us: int,
    horizon_s: int,
    seed: int,
) -> ExportedModel:
    """Convert `estimator` into `folder` and compare forecasts of `rows` and of `edge_rows`.

    `rows` is a (rows × features) matrix of hold-out samples; some become the golden rows. The other
    arguments are those of `Manifest`. Raises RegistryError if a forecast differs by more than
    DIFFERENCE_MAX.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = np.ascontiguousarray(rows, dtype=np.float32)
    model_path = folder / MODEL_FILE
    onnx_model = to_onnx(estimator, samples[:1], target_opset=OPSET)
    model_path.write_bytes(onnx_model.SerializeToString())
    golden = samples[golden_indices(len(samples), GOLDEN_ROWS)]
    manifest = Manifest(
        sha256=file_sha256(model_path),
        features=features,
        trained_on=trained_on,
        trained_to_us=trained_to_us,
        horizon_s=horizon_s,
        golden_rows=tuple(map(tuple, golden.tolist())),
        golden_forecasts=tuple(estimator.predict(golden).tolist()),
    )
    probes = np.concatenate([samples, edge_rows(estimator, samples, seed)])
    return seal_model(
        folder,
        manifest,
        probes,
        estimator.predict(probes),
        subject="converted model",
        hint="the converter does not support this estimator",
    )
