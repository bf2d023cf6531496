"""Signatures of MLflow models: named columns for features, tensors for images."""

import pytest
from mlflow.types import DataType

from models.mlflow_model import model_signature
from models.runtime import LIGHTGBM_FILE, MODEL_FILE, Manifest

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
