"""The seal of an export: evenly spread golden rows, and no file that differs from its original."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RegistryError
from models import runtime
from models.export.seal import golden_indices, seal_model
from models.runtime import DIFFERENCE_MAX
from tests.support.model_folder import export_small_forest, forest


@given(st.integers(1, 5000), st.integers(1, 64))
def test_golden_rows_are_distinct_and_reach_from_the_first_to_the_last(rows, golden_max):
    indices = golden_indices(rows, golden_max).tolist()
    assert indices == sorted(set(indices))
    assert len(indices) == min(rows, golden_max)
    assert indices[0] == 0
    assert indices[-1] == (rows - 1 if len(indices) > 1 else 0)


@pytest.fixture
def seal(tmp_path):
    """Seals a forest whose original is said to forecast `shift` more."""
    exported = export_small_forest(tmp_path)
    manifest = runtime.verify_manifest(tmp_path, exported.digest)
    estimator, x = forest()

    def run(shift):
        expected = estimator.predict(x) + shift
        return seal_model(tmp_path, manifest, x, expected, subject="model", hint="do this")

    return run


def test_a_difference_within_rounding_is_reported_with_the_digest(seal, tmp_path):
    exported = seal(DIFFERENCE_MAX / 2)
    assert 0 < exported.difference <= DIFFERENCE_MAX
    assert runtime.verify_manifest(tmp_path, exported.digest)


@pytest.mark.parametrize("shift", [2 * DIFFERENCE_MAX, -1, np.nan, np.inf])
def test_a_larger_difference_is_an_error_with_the_callers_words(seal, shift):
    with pytest.raises(RegistryError, match="^the model differs from the original by") as error:
        seal(shift)
    assert error.value.hint == "do this"
