"""A verified model file → forecasts for a matrix: the same code for the API, the backtest and the
tests.

A model is a folder: `model.onnx` or `model.lgb.txt` (LightGBM's own text), and `manifest.json` with
its SHA-256, its features in order and golden rows. The digest of the manifest, kept in the
registry, therefore vouches for both. No pickle is ever read.
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
# ONNX sums a forest's leaves in float32: 1e-8 is a ten-thousandth of a basis point, measured
# differences are 100 times less.
DIFFERENCE_MAX = 1e-8
PROBABILITY_DIFFERENCE_MAX = (
    1e-4  # a network's thousands of float32 products end in another order on another machine
)

Answer = Callable[[NDArray[np.float32]], NDArray[Any]]


class MatrixError(TickError):
    """A matrix that this model cannot answer: rows of another shape, or a value that is not a
    finite float32.
    """


@dataclass(frozen=True)
class Manifest:
    """What is known about a model file. `trained_to_us`: end of its last training label, µs UTC.

    `golden_rows` and `golden_forecasts` are inputs with the answers the file gave when it was made.
    `file` names the model file. A model of images has no features by name: its rows have a `shape`,
    and an answer is a probability per label.
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
        """Shape of one row of what the model takes."""
        return self.shape or (len(self.features),)

    @property
    def difference_max(self) -> float:
        """Largest difference between two machines' answers that is rounding."""
        return PROBABILITY_DIFFERENCE_MAX if self.labels else DIFFERENCE_MAX

    def write(self, folder: Path) -> str:
        """Write `manifest.json` and return its SHA-256, the digest of the whole model."""
        content = json.dumps(asdict(self), sort_keys=True).encode()
        (folder / MANIFEST_FILE).write_bytes(content)
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Exported:
    """A model folder, its digest, and the largest absolute difference from the original's
    forecasts.
    """

    folder: Path
    digest: str
    difference: float


@dataclass(frozen=True)
class Model:
    """A loaded model. `digest` is the SHA-256 of its manifest; forecasts look `horizon_s` seconds
    ahead (ticks: log returns).
    """

    name: str
    version: str
    features: tuple[str, ...]
    digest: str
    trained_on: str
    trained_to_us: int
    horizon_s: int
    answer: Answer
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row of what the model takes."""
        return self.shape or (len(self.features),)

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Forecast per row of a (rows × features) matrix, float32 or float64, columns in the order
        of `features`; of (rows × shape) images with values from 0 to 255 the probabilities (rows ×
        labels).

        Raises MatrixError. Safe to call from several threads.
        """
        row_shape = self.row_shape
        if matrix.ndim != 1 + len(row_shape) or matrix.shape[1:] != row_shape:
            what = (
                f"of the shape {row_shape}" if self.shape else f"of {len(self.features)} features"
            )
            raise MatrixError(f"the model takes rows {what}, not the shape {matrix.shape}")
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(matrix, dtype=np.float32)
        if not np.isfinite(rows).all():
            column = (
                "a pixel"
                if self.shape
                else self.features[int(np.argwhere(~np.isfinite(rows))[0][1])]
            )
            raise MatrixError(
                f"{column} holds a value that is not a finite float32",
                "rows with missing features are not forecast",
            )
        answer_shape = (len(rows), len(self.labels)) if self.labels else (len(rows),)
        return (
            np.asarray(self.answer(rows), dtype=np.float64).reshape(answer_shape)
            if len(rows)
            else np.empty(answer_shape)
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(folder: Path, digest: str) -> Manifest:
    """The manifest, after it matches `digest` and the model file matches it. Raises RegistryError;
    parses no model.
    """
    manifest_path = folder / MANIFEST_FILE
    if not manifest_path.is_file():
        raise RegistryError(f"{folder} lacks {MANIFEST_FILE}", "register the model again")
    if file_sha256(manifest_path) != digest:
        raise RegistryError(
            f"{manifest_path} is not the one that was registered",
            "the file was altered: roll back or train again",
        )
    made: dict[str, Any] = json.loads(manifest_path.read_bytes())
    for key in ("features", "golden_forecasts", "golden_rows", "shape", "labels"):
        made[key] = _tuples(made.get(key, []))
    manifest = Manifest(**made)
    if manifest.file not in READERS:
        raise RegistryError(
            f"{manifest.file!r} is not a kind of model file",
            f"a model is one of {', '.join(READERS)}",
        )
    model_path = folder / manifest.file
    if not model_path.is_file():
        raise RegistryError(f"{folder} lacks {manifest.file}", "register the model again")
    if model_path.stat().st_size > MODEL_BYTES_MAX or file_sha256(model_path) != manifest.sha256:
        raise RegistryError(
            f"{model_path} is not the file that was registered",
            "it was truncated or altered: roll back or train again",
        )
    return manifest


def load(folder: Path, digest: str, name: str = "", version: str = "") -> Model:
    """The model in `folder`, if its digest is the registered one. Raises RegistryError. The first
    load belongs in `check`.
    """
    manifest = verified(folder, digest)
    try:
        row_shape, answer = READERS[manifest.file](folder / manifest.file)
    except (
        Exception
    ) as error:  # the errors of onnxruntime and of LightGBM derive from Exception only
        raise RegistryError(
            f"{folder / manifest.file} is not a readable model: {error}", "train and register again"
        ) from error
    if row_shape != manifest.row_shape:
        raise RegistryError(
            f"the model takes rows of {row_shape}, its manifest names {manifest.row_shape}",
            "register it again",
        )
    known = {
        key: getattr(manifest, key)
        for key in ("features", "trained_on", "trained_to_us", "horizon_s", "shape", "labels")
    }
    return Model(name=name, version=version, digest=digest, answer=answer, **known)


def _tuples(made: Any) -> Any:
    """JSON's lists as tuples, however deep."""
    return tuple(map(_tuples, made)) if isinstance(made, list) else made


def _onnx(file: Path) -> tuple[tuple[int, ...], Answer]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = (
        1  # a request must not fan out over the cores
    )
    options.log_severity_level = 4
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    return tuple(map(int, first.shape[1:])), lambda rows: np.asarray(
        session.run(None, {first.name: rows})[0]
    )


def _lightgbm(file: Path) -> tuple[tuple[int, ...], Answer]:
    """A damaged file ends the process that reads it, hence the digest before and `check` in a
    child.
    """
    booster = Booster(file)
    return (booster.width,), booster.predict


READERS: dict[str, Callable[[Path], tuple[tuple[int, ...], Answer]]] = {
    MODEL_FILE: _onnx,
    LIGHTGBM_FILE: _lightgbm,
}


def golden_difference(folder: Path, digest: str) -> float:
    """Largest absolute difference between this machine's answers to the golden rows and the stored
    ones.
    """
    manifest = verified(folder, digest)
    answers = load(folder, digest).predict(np.array(manifest.golden_rows))
    return float(np.abs(answers - np.array(manifest.golden_forecasts)).max())


def check(folder: Path, digest: str, timeout_s: float) -> None:
    """Load and answer the golden rows in a child process, so that a file that kills its reader
    kills only that.

    Raises RegistryError with what the child said, or the signal that ended it.
    """
    verified(folder, digest)
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
            "see the machine's load, then try again",
        ) from error
    if child.returncode != 0:
        said = child.stderr.strip().splitlines()[-1:] or [f"ended by signal {-child.returncode}"]
        raise RegistryError(
            f"{folder} failed its first load in a child process: {said[0]}",
            "roll back, or train and register again",
        )
