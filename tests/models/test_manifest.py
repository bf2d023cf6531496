"""Manifests: equal content gives an equal digest, and a digest covers every field."""

import json
from dataclasses import replace

import numpy as np
import pytest

from contracts.errors import RegistryError
from models import runtime
from models.runtime import MANIFEST_FILE, Manifest, Model
from tests.support.model_folder import export_small_forest

MANIFEST = Manifest("a" * 64, ("x", "y"), "synthetic", 1, 60, ((0.0, 1.0),), (0.5,))


def test_equal_manifests_have_an_equal_digest_and_every_field_is_covered(tmp_path):
    digest = MANIFEST.write(tmp_path)
    assert MANIFEST.write(tmp_path) == digest == runtime.file_sha256(tmp_path / MANIFEST_FILE)
    changes = {
        "sha256": "b" * 64,
        "features": ("y", "x"),
        "trained_on": "BINANCE",
        "trained_to_us": 2,
        "horizon_s": 61,
        "golden_rows": ((0.0, 1.5),),
        "golden_forecasts": (0.25,),
        "file": runtime.LIGHTGBM_FILE,
        "shape": (2,),
        "labels": ("a",),
    }
    assert set(changes) == set(vars(MANIFEST))
    digests = {replace(MANIFEST, **{key: value}).write(tmp_path) for key, value in changes.items()}
    assert len(digests | {digest}) == len(changes) + 1


def test_a_classifier_may_differ_more_than_a_regression():
    images = replace(MANIFEST, features=(), shape=(4, 4, 1), labels=("a", "b"))
    assert (MANIFEST.row_shape, images.row_shape) == ((2,), (4, 4, 1))
    assert (MANIFEST.difference_max, images.difference_max) == (1e-8, 1e-4)


def test_a_verified_manifest_has_tuples_at_any_depth(tmp_path):
    exported = export_small_forest(tmp_path)
    manifest = runtime.verify_manifest(exported.folder, exported.digest)
    assert manifest.features == ("a", "b", "c")
    assert isinstance(manifest.golden_rows[0], tuple)
    difference = runtime.golden_difference(exported.folder, exported.digest)
    assert difference <= runtime.DIFFERENCE_MAX
    assert len(manifest.golden_rows) == len(manifest.golden_forecasts) == 32


def test_an_unknown_kind_of_file_is_refused_before_it_is_read(tmp_path):
    exported = export_small_forest(tmp_path)
    values = json.loads((tmp_path / MANIFEST_FILE).read_bytes())
    digest = Manifest(**values | {"file": "model.pkl"}).write(tmp_path)
    with pytest.raises(RegistryError, match="'model.pkl' is not a kind of model file") as error:
        runtime.load_model(exported.folder, digest)
    assert "model.onnx, model.lgb.txt" in error.value.hint


def test_a_file_larger_than_the_limit_is_refused(tmp_path, monkeypatch):
    exported = export_small_forest(tmp_path)
    monkeypatch.setattr(runtime, "MODEL_BYTES_MAX", 10)
    with pytest.raises(RegistryError, match="is not the file that was registered"):
        runtime.verify_manifest(exported.folder, exported.digest)


def test_a_classifier_returns_a_row_of_probabilities_per_image():
    def predict_rows(rows):
        return np.stack([rows.sum(axis=(1, 2, 3)), 1 - rows.sum(axis=(1, 2, 3))], axis=1)

    model = Model("m", "1", (), "", "", 0, 0, predict_rows, (2, 2, 1), ("a", "b"))
    images = np.zeros((3, 2, 2, 1))
    assert model.predict(images).tolist() == [[0.0, 1.0]] * 3
    assert model.predict(images[:0]).shape == (0, 2)
