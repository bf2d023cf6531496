"""Export of estimators other than the forest, few rows, and equal content."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from models import runtime
from models.export.sklearn_estimator import GOLDEN_ROWS, edge_rows, export_estimator
from tests.support.model_folder import forest

FACTS = {"trained_on": "synthetic", "trained_to_us": 1, "horizon_s": 60, "seed": 1}


def test_an_estimator_without_trees_is_exported_without_edge_rows(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 2)).astype(np.float32)
    line = LinearRegression().fit(x, 1e-4 * x[:, 0])
    assert edge_rows(line, x, 1).shape == (0, 2)
    exported = export_estimator(line, x, tmp_path, features=("a", "b"), **FACTS)
    forecasts = runtime.load_model(tmp_path, exported.digest).predict(x)
    assert np.abs(forecasts - line.predict(x)).max() <= runtime.DIFFERENCE_MAX


def test_a_tree_without_a_split_has_no_edge():
    x = np.zeros((20, 2), np.float32)
    stump = RandomForestRegressor(3, random_state=1).fit(x, np.ones(20))
    assert edge_rows(stump, x, 1).shape == (0, 2)


@pytest.mark.parametrize(("rows", "golden"), [(1, 1), (GOLDEN_ROWS, GOLDEN_ROWS), (33, 32)])
def test_golden_rows_are_distinct_hold_out_rows(tmp_path, rows, golden):
    estimator, x = forest()
    exported = export_estimator(estimator, x[:rows], tmp_path, features=("a", "b", "c"), **FACTS)
    manifest = runtime.verify_manifest(tmp_path, exported.digest)
    assert len(set(manifest.golden_rows)) == golden
    assert set(manifest.golden_rows) <= {tuple(map(float, row)) for row in x[:rows]}
    assert manifest.golden_forecasts == pytest.approx(
        estimator.predict(np.array(manifest.golden_rows, np.float32)), abs=0
    )


def test_equal_estimators_have_an_equal_digest(tmp_path):
    estimator, x = forest()
    digests = {
        export_estimator(
            estimator, x[:40], tmp_path / name, features=("a", "b", "c"), **FACTS
        ).digest
        for name in ("one", "two")
    }
    assert len(digests) == 1


@given(st.integers(0, 2**32 - 1))
def test_an_edge_is_a_threshold_and_the_next_float32_to_either_side_of_it(seed):
    estimator, x = forest()
    rows = edge_rows(estimator, x, seed)
    thresholds, above, below = rows[::3], rows[1::3], rows[2::3]
    is_next = above == np.nextafter(thresholds, np.float32(np.inf))
    is_previous = below == np.nextafter(thresholds, np.float32(-np.inf))
    assert (is_next & is_previous).any(axis=1).all()
