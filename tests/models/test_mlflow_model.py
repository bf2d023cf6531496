"""MLflow models: the verified files, and a signature with named columns or tensors."""

from importlib.metadata import version

import pytest
from mlflow.types import DataType

from contracts.errors import RegistryError
from models.mlflow_model import (
    LIGHTGBM_REQUIREMENTS,
    ONNX_REQUIREMENTS,
    model_signature,
    write_mlflow_model,
)
from models.runtime import LIGHTGBM_FILE, MANIFEST_FILE, MODEL_FILE, Manifest
from tests.support.model_folder import export_small_forest

FIELDS = {
    "sha256": "",
    "trained_on": "",
    "trained_to_us": 0,
    "horizon_s": 0,
    "golden_rows": (),
    "golden_forecasts": (),
}


@pytest.mark.parametrize(
    ("file", "output"), [(MODEL_FILE, DataType.float), (LIGHTGBM_FILE, DataType.double)]
)
def test_features_are_named_columns_in_their_order(file, output):
    signature = model_signature(Manifest(features=("b", "a"), file=file, **FIELDS))
    assert signature.inputs.input_names() == ["b", "a"]
    assert signature.inputs.input_types() == [DataType.double] * 2
    assert signature.outputs.input_types() == [output]


def test_images_are_tensors_with_any_number_of_rows():
    manifest = Manifest(features=(), shape=(28, 28, 1), labels=("x", "y"), **FIELDS)
    signature = model_signature(manifest)
    assert [spec.shape for spec in signature.inputs.inputs] == [(-1, 28, 28, 1)]
    assert [spec.shape for spec in signature.outputs.inputs] == [(-1, 2)]


def test_the_pinned_requirement_is_the_installed_mlflow():
    for requirements in (ONNX_REQUIREMENTS, LIGHTGBM_REQUIREMENTS):
        assert requirements[0] == f"mlflow=={version('mlflow')}"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_verified_files_are_in_the_mlflow_folder_unchanged(tmp_path):
    exported = export_small_forest(tmp_path / "model")
    write_mlflow_model(exported, tmp_path / "mlflow")
    for name in (MODEL_FILE, MANIFEST_FILE):
        written = (tmp_path / "mlflow" / name).read_bytes()
        assert written == (exported.folder / name).read_bytes()
    assert (tmp_path / "mlflow" / "MLmodel").is_file()


def test_an_altered_file_is_not_written(tmp_path):
    exported = export_small_forest(tmp_path / "model")
    (exported.folder / MODEL_FILE).write_bytes(b"altered")
    with pytest.raises(RegistryError, match="is not the file that was registered"):
        write_mlflow_model(exported, tmp_path / "mlflow")
    assert not (tmp_path / "mlflow").exists()
