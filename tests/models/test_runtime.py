"""What a model folder promises: the original's forecasts, nothing altered, and no file that can end
its reader.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
from skl2onnx.operator_converters.random_forest import (
    convert_sklearn_random_forest_regressor_converter,
)
from sklearn.ensemble import RandomForestRegressor

from contracts.errors import RegistryError
from models import runtime
from models.export.sklearn_estimator import edge_rows, export_estimator
from models.runtime import MANIFEST_FILE, MODEL_FILE, Manifest, MatrixError
from tests.support.model_folder import FEATURES, export_small_forest, forest


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_small_forest(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def copy(tmp_path):
    return export_small_forest(tmp_path / "model")


def resealed(folder: Path, content: bytes) -> str:
    """Digest of a folder whose damaged model file was sealed as if it were right."""
    (folder / MODEL_FILE).write_bytes(content)
    made = json.loads((folder / MANIFEST_FILE).read_bytes())
    return Manifest(**made | {"sha256": runtime.file_sha256(folder / MODEL_FILE)}).write(folder)


class TestForecasts:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_they_are_the_originals_also_on_the_thresholds(self, exported, dtype):
        estimator, x = forest()
        rows = np.concatenate([x, edge_rows(estimator, x, 5)]).astype(dtype)
        difference = np.abs(
            runtime.load_model(exported.folder, exported.digest).predict(rows)
            - estimator.predict(rows)
        )
        assert difference.max() <= runtime.DIFFERENCE_MAX
        assert exported.difference <= runtime.DIFFERENCE_MAX

    def test_edge_rows_lie_on_thresholds_and_on_both_sides(self):
        estimator, x = forest()
        rows = edge_rows(estimator, x, 5)
        thresholds = {np.float32(t) for tree in estimator.estimators_ for t in tree.tree_.threshold}
        assert len(rows) == 8 * 3 * 10
        assert all(set(row) & thresholds for row in rows[::3])

    def test_one_row_or_many_or_in_threads_is_the_same(self, exported):
        _, x = forest()
        model = runtime.load_model(exported.folder, exported.digest, "tick-model", "3")
        whole = model.predict(x[:200])
        with ThreadPoolExecutor(4) as pool:
            single = list(pool.map(lambda row: model.predict(row[None, :])[0], x[:200]))
        assert np.array_equal(whole, single)
        assert (model.name, model.version, model.features, model.trained_on) == (
            "tick-model",
            "3",
            FEATURES,
            "synthetic",
        )
        assert model.predict(np.empty((0, 3))).shape == (0,)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
    def test_a_value_that_is_not_a_finite_float32_is_refused_by_name(self, exported, bad):
        rows = np.zeros((3, 3))
        rows[1, 2] = bad
        with pytest.raises(MatrixError, match="^c has"):
            runtime.load_model(exported.folder, exported.digest).predict(rows)

    @pytest.mark.parametrize("shape", [(3,), (1, 2), (1, 4), (1, 3, 1)])
    def test_a_matrix_of_another_shape_is_refused(self, exported, shape):
        with pytest.raises(MatrixError, match="3 features"):
            runtime.load_model(exported.folder, exported.digest).predict(np.zeros(shape))

    def test_a_conversion_that_differs_is_refused(self, tmp_path):
        class Liar(RandomForestRegressor):
            def predict(self, rows):
                return super().predict(rows) + 1e-6

        estimator, x = forest()
        liar = Liar(**estimator.get_params()).fit(x, 1e-4 * x[:, 0])
        made = (
            calculate_linear_regressor_output_shapes,
            convert_sklearn_random_forest_regressor_converter,
        )
        either = {"decision_leaf": [True, False], "decision_path": [True, False]}
        update_registered_converter(Liar, "Liar", *made, options=either)
        with pytest.raises(RegistryError, match="differs from the original by 1"):
            export_estimator(
                liar,
                x,
                tmp_path,
                features=FEATURES,
                trained_on="",
                trained_to_us=0,
                horizon_s=60,
                seed=1,
            )


class TestDamage:
    def test_a_whole_model_passes_its_check(self, exported):
        runtime.check_in_child(exported.folder, exported.digest, 60)

    @pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE])
    def test_one_flipped_bit_is_refused_before_parsing(self, copy, file):
        content = bytearray((copy.folder / file).read_bytes())
        content[len(content) // 2] ^= 1
        (copy.folder / file).write_bytes(content)
        with pytest.raises(RegistryError, match="is not the"):
            runtime.load_model(copy.folder, copy.digest)

    @pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE])
    def test_a_missing_file_is_refused(self, copy, file):
        (copy.folder / file).unlink()
        with pytest.raises(RegistryError, match="lacks"):
            runtime.load_model(copy.folder, copy.digest)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
    def test_a_truncated_file_never_ends_the_caller_even_when_its_digest_fits(self, copy, share):
        content = (copy.folder / MODEL_FILE).read_bytes()
        digest = resealed(copy.folder, content[: int(len(content) * share)])
        with pytest.raises(RegistryError, match="first load in a child process"):
            runtime.check_in_child(copy.folder, digest, 60)

    def test_another_model_under_the_manifest_gives_itself_away_by_its_golden_rows(
        self, copy, tmp_path
    ):
        other = export_small_forest(tmp_path / "other", seed=2)
        digest = resealed(copy.folder, (other.folder / MODEL_FILE).read_bytes())
        with pytest.raises(RegistryError, match="golden forecasts differ"):
            runtime.check_in_child(copy.folder, digest, 60)

    def test_features_that_do_not_fit_the_file_are_refused(self, copy):
        made = json.loads((copy.folder / MANIFEST_FILE).read_bytes())
        digest = Manifest(**made | {"features": ["a", "b"]}).write(copy.folder)
        with pytest.raises(
            RegistryError, match="takes rows of \\(3,\\), its manifest names \\(2,\\)"
        ):
            runtime.load_model(copy.folder, digest)

    def test_a_child_killed_by_a_signal_is_an_error_here(self, exported, monkeypatch, tmp_path):
        package = tmp_path / "models"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "load_check.py").write_text(
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        )
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RegistryError, match="signal 11"):
            runtime.check_in_child(exported.folder, exported.digest, 60)

    def test_a_child_that_hangs_is_ended(self, exported):
        with pytest.raises(RegistryError, match="longer than"):
            runtime.check_in_child(exported.folder, exported.digest, 0.01)


def test_the_runtime_reads_no_pickle_and_imports_no_trainer():
    code = (
        "import sys, models.runtime; print([m for m in ('sklearn', 'mlflow', 'skl2onnx', 'pandas')"
        " if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
