"""Verified model file → forecasts for a matrix; the same code for the API, backtests and tests.

A model is a folder: the model file (`model.onnx`, or `model.lgb.txt` in LightGBM's text format) and
`manifest.json` with the file's SHA-256, its features in order and golden rows. The registry keeps
the SHA-256 of the manifest, the digest, which therefore covers both files. Pickle is never read:
it can execute code.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from contracts.errors import RegistryError, TickError
from models.lightgbm_text import Booster

MODEL_FILE, MANIFEST_FILE = "model.onnx", "manifest.json"
LIGHTGBM_FILE = "model.lgb.txt"
MODEL_BYTES_MAX = 1 << 30
# ONNX sums the leaves of a forest in float32. 1e-8 is 1/10,000 of a basis point; measured
# differences are 100 times smaller.
DIFFERENCE_MAX = 1e-8
# A network sums thousands of float32 products, in an order that depends on the machine.
PROBABILITY_DIFFERENCE_MAX = 1e-4

PredictRows = Callable[[NDArray[np.float32]], NDArray[Any]]


class MatrixError(TickError):
    """Invalid input of a model: rows of another shape, or a value that is not a finite float32."""


@dataclass(frozen=True)
class Manifest:
    """Description of a model file, stored next to it.

    `trained_to_us` is the end of the last training label (µs UTC), `horizon_s` how far ahead
    forecasts look. `golden_rows` are inputs, and `golden_forecasts` the original model's outputs
    for them. `file` names the model file. An image model has a `shape` and `labels` instead of
    named features; its output is a probability per label.
    """

    sha256: str
    features: tuple[str, ...]
    trained_on: str
    trained_to_us: int
    horizon_s: int
    golden_rows: tuple[Any, ...]
    golden_forecasts: tuple[Any, ...]
    file: str = MODEL_FILE
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one input row."""
        return self.shape or (len(self.features),)

    @property
    def difference_max(self) -> float:
        """Largest absolute difference between the outputs of two machines due to rounding."""
        return PROBABILITY_DIFFERENCE_MAX if self.labels else DIFFERENCE_MAX

    def write(self, folder: Path) -> str:
        """Write `manifest.json` and return its SHA-256, the digest of the model."""
        content = json.dumps(asdict(self), sort_keys=True).encode()
        (folder / MANIFEST_FILE).write_bytes(content)
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class ExportedModel:
    """Folder and digest of an exported model, and the largest absolute difference of its forecasts
    from those of the original."""

    folder: Path
    digest: str
    difference: float


@dataclass(frozen=True)
class Model:
    """A loaded model.

    `digest` is the SHA-256 of its manifest. Forecasts look `horizon_s` seconds ahead; those of the
    tick model are log returns.
    """

    name: str
    version: str
    features: tuple[str, ...]
    digest: str
    trained_on: str
    trained_to_us: int
    horizon_s: int
    predict_rows: PredictRows
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one input row."""
        return self.shape or (len(self.features),)

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Forecast each row of `matrix`. Thread-safe.

        `matrix` is (rows × features), float32 or float64, with the columns in the order of
        `features`; the result is (rows,). For an image model it is (rows × shape) with pixels from
        0 to 255, and the result (rows × labels) contains probabilities.

        Raises MatrixError for another shape, or a value that is not a finite float32.
        """
        if matrix.shape[1:] != self.row_shape:
            expected = f"of the shape {self.shape}" if self.shape else self._feature_count()
            raise MatrixError(f"the model takes rows {expected}, not the shape {matrix.shape}")
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(matrix, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise MatrixError(
                f"{self._first_invalid_column(rows)} has a value that is not a finite float32",
                "rows with missing features cannot be forecast",
            )
        shape = (len(rows), len(self.labels)) if self.labels else (len(rows),)
        if not len(rows):
            return np.empty(shape)
        return np.asarray(self.predict_rows(rows), dtype=np.float64).reshape(shape)

    def _feature_count(self) -> str:
        return f"of {len(self.features)} features"

    def _first_invalid_column(self, rows: NDArray[np.float32]) -> str:
        if self.shape:
            return "a pixel"
        return self.features[int(np.argwhere(~np.isfinite(rows))[0][1])]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_manifest(folder: Path, digest: str) -> Manifest:
    """The manifest, after checking it against `digest` and the model file against the manifest.

    Does not parse the model file. Raises RegistryError if a file is missing or does not match.
    """
    manifest_path = _require_file(folder, MANIFEST_FILE)
    if file_sha256(manifest_path) != digest:
        raise RegistryError(
            f"{manifest_path} is not the one that was registered",
            "the file was altered: roll back or train again",
        )
    manifest = _parse_manifest(manifest_path.read_bytes())
    model_path = _require_file(folder, manifest.file)
    if model_path.stat().st_size > MODEL_BYTES_MAX or file_sha256(model_path) != manifest.sha256:
        raise RegistryError(
            f"{model_path} is not the file that was registered",
            "it was truncated or altered: roll back or train again",
        )
    return manifest


def _require_file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise RegistryError(f"{folder} lacks {name}", "register the model again")
    return folder / name


def _parse_manifest(content: bytes) -> Manifest:
    values: dict[str, Any] = json.loads(content)
    for key in ("features", "golden_forecasts", "golden_rows", "shape", "labels"):
        values[key] = _as_tuples(values.get(key, []))
    manifest = Manifest(**values)
    if manifest.file not in LOADERS:
        raise RegistryError(
            f"{manifest.file!r} is not a kind of model file",
            f"a model is one of {', '.join(LOADERS)}",
        )
    return manifest


def load_model(folder: Path, digest: str, name: str = "", version: str = "") -> Model:
    """Load the model in `folder`. Load a new model with `check_in_child` first.

    Raises RegistryError if the files do not match `digest`, or cannot be loaded.
    """
    manifest = verify_manifest(folder, digest)
    try:
        row_shape, predict_rows = LOADERS[manifest.file](folder / manifest.file)
    except Exception as error:  # onnxruntime and LightGBM raise direct subclasses of Exception
        raise RegistryError(
            f"{folder / manifest.file} is not a readable model: {error}", "train and register again"
        ) from error
    if row_shape != manifest.row_shape:
        raise RegistryError(
            f"the model takes rows of {row_shape}, its manifest names {manifest.row_shape}",
            "register it again",
        )
    return Model(
        name=name,
        version=version,
        features=manifest.features,
        digest=digest,
        trained_on=manifest.trained_on,
        trained_to_us=manifest.trained_to_us,
        horizon_s=manifest.horizon_s,
        predict_rows=predict_rows,
        shape=manifest.shape,
        labels=manifest.labels,
    )


def _as_tuples(value: Any) -> Any:
    """Convert nested JSON lists to tuples."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _load_onnx(file: Path) -> tuple[tuple[int, ...], PredictRows]:
    options = ort.SessionOptions()
    # One thread: concurrent requests already use all cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    graph_input = session.get_inputs()[0]

    def predict_rows(rows: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(session.run(None, {graph_input.name: rows})[0])

    return tuple(map(int, graph_input.shape[1:])), predict_rows


def _load_lightgbm(file: Path) -> tuple[tuple[int, ...], PredictRows]:
    """LightGBM ends the process if the file is damaged; digest and child check prevent that."""
    booster = Booster(file)
    return (booster.width,), booster.predict


LOADERS: dict[str, Callable[[Path], tuple[tuple[int, ...], PredictRows]]] = {
    MODEL_FILE: _load_onnx,
    LIGHTGBM_FILE: _load_lightgbm,
}


def golden_difference(folder: Path, digest: str) -> float:
    """Largest absolute difference between forecasts of the golden rows and the stored ones."""
    manifest = verify_manifest(folder, digest)
    forecasts = load_model(folder, digest).predict(np.array(manifest.golden_rows))
    return float(np.abs(forecasts - np.array(manifest.golden_forecasts)).max())


def check_in_child(folder: Path, digest: str, timeout_s: float) -> None:
    """Load the model and forecast its golden rows in a child process.

    A damaged file may crash the process that loads it, hence the child. Raises RegistryError with
    the child's last line of output, or the signal that ended it.
    """
    verify_manifest(folder, digest)
    command = [sys.executable, "-m", "models.load_check", str(folder), digest]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RegistryError(
            f"loading {folder} took longer than {timeout_s:g} s",
            "check the load of the machine, then try again",
        ) from error
    if child.returncode != 0:
        output = child.stderr.strip().splitlines()
        reason = output[-1] if output else f"ended by signal {-child.returncode}"
        raise RegistryError(
            f"{folder} failed its first load in a child process: {reason}",
            "roll back, or train and register again",
        )
