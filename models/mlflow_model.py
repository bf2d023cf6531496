"""MLflow model folder around a verified model file, as `mlflow models serve` expects it."""

import shutil
import warnings
from pathlib import Path

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from models import runtime

# Pinned by hand: MLflow's inference of requirements, like an input example, takes 15 to 40 s.
ONNX_REQUIREMENTS = ["mlflow==3.17.2", "onnxruntime", "numpy"]
LIGHTGBM_REQUIREMENTS = ["mlflow==3.17.2", "lightgbm", "numpy"]


def write_mlflow_model(exported: runtime.ExportedModel, folder: Path) -> None:
    """Write an MLflow model into `folder`, with the verified model file and manifest unchanged.

    Raises RegistryError if the exported files do not match their digest.
    """
    manifest = runtime.verify_manifest(exported.folder, exported.digest)
    write = _write_onnx if manifest.file == runtime.MODEL_FILE else _write_lightgbm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow warns about its own type hints
        write(exported.folder / manifest.file, str(folder), model_signature(manifest))
    for name in (manifest.file, runtime.MANIFEST_FILE):
        shutil.copyfile(exported.folder / name, folder / name)


def model_signature(manifest: runtime.Manifest) -> ModelSignature:
    """MLflow signature: tensors for images, else named float64 columns and one forecast."""
    if manifest.shape:
        pixels = TensorSpec(np.dtype("float32"), (-1, *manifest.shape))
        probabilities = TensorSpec(np.dtype("float32"), (-1, len(manifest.labels)))
        return ModelSignature(Schema([pixels]), Schema([probabilities]))
    forecast = ColSpec("float" if manifest.file == runtime.MODEL_FILE else "double")
    columns = [ColSpec("double", name) for name in manifest.features]
    return ModelSignature(Schema(columns), Schema([forecast]))


def _write_onnx(file: Path, folder: str, signature: ModelSignature) -> None:
    import mlflow.onnx  # here: slow to import, and only registering needs it
    import onnx

    mlflow.onnx.save_model(
        onnx.load(str(file)),
        folder,
        signature=signature,
        pip_requirements=ONNX_REQUIREMENTS,
        save_as_external_data=False,
    )


def _write_lightgbm(file: Path, folder: str, signature: ModelSignature) -> None:
    import lightgbm
    import mlflow.lightgbm

    mlflow.lightgbm.save_model(
        lightgbm.Booster(model_file=str(file)),
        folder,
        signature=signature,
        pip_requirements=LIGHTGBM_REQUIREMENTS,
    )
