"""A network built from weights answers as loops over pixels do; images have their own shape, and
damage shows.
"""

import json

import numpy as np
import pytest

from contracts.errors import RegistryError
from models import runtime
from models.export.image_network import export_network, keras_to_onnx
from models.runtime import MANIFEST_FILE, Manifest, MatrixError
from tests.support.made_images import answers, chain, digits

LABELS = tuple("0123456789")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    weights, images = chain(), digits(80).test_x
    content = keras_to_onnx(weights, (28, 28, 1))
    return export_network(
        content,
        tmp_path_factory.mktemp("net"),
        images,
        answers(weights, images),
        labels=LABELS,
        trained_on="made up",
    ), images


def test_the_network_is_the_loops(sealed):
    exported, images = sealed
    assert exported.difference < 1e-5
    model = runtime.load_model(exported.folder, exported.digest, "n", "1")
    got = model.predict(images)
    assert got.shape == (len(images), 10) and np.abs(got.sum(axis=1) - 1).max() < 1e-5
    assert model.predict(images[:0]).shape == (0, 10)
    runtime.check_in_child(exported.folder, exported.digest, timeout_s=60)


@pytest.mark.parametrize("shape", [(2, 784), (2, 28, 28), (28, 28, 1), (2, 28, 28, 3)])
def test_rows_of_another_shape_are_refused(sealed, shape):
    exported, _ = sealed
    with pytest.raises(MatrixError, match="rows of the shape"):
        runtime.load_model(exported.folder, exported.digest).predict(np.zeros(shape, np.uint8))


def test_a_pixel_that_is_not_a_number_is_refused(sealed):
    exported, images = sealed
    with pytest.raises(MatrixError, match="a pixel"):
        runtime.load_model(exported.folder, exported.digest).predict(
            np.where(images > 100, np.nan, images)
        )


def test_another_network_than_the_original_is_not_sealed(tmp_path, sealed):
    _, images = sealed
    with pytest.raises(RegistryError, match="differs from the original"):
        export_network(
            keras_to_onnx(chain(5), (28, 28, 1)),
            tmp_path,
            images,
            answers(chain(), images),
            labels=LABELS,
            trained_on="x",
        )


def test_a_manifest_of_another_shape_is_refused(sealed, tmp_path):
    exported, images = sealed
    made = json.loads((exported.folder / MANIFEST_FILE).read_bytes())
    (tmp_path / runtime.MODEL_FILE).write_bytes((exported.folder / runtime.MODEL_FILE).read_bytes())
    digest = Manifest(**made | {"shape": [32, 32, 3]}).write(tmp_path)
    with pytest.raises(RegistryError, match="takes rows of"):
        runtime.load_model(tmp_path, digest)
