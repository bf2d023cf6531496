"""The Open Inference Protocol on a tick model and an image model: valid and invalid tensors."""

from types import SimpleNamespace

import numpy as np
import pytest

from contracts.features import CORE
from models.export.image_network import export_network, keras_to_onnx
from models.runtime import MatrixError, load_model
from serving.state.registry_state import RegistryState, ServedVersion
from tests.serving.test_api_predict import refused
from tests.support.made_images import answers, chain, digits

TICK = "tick-model"


def tensor(rows, **fields):
    array = np.asarray(rows, dtype=float)
    return {
        "name": "input",
        "shape": list(array.shape),
        "datatype": "FP64",
        "data": array.ravel().tolist(),
        **fields,
    }


def infer(api, name, input_tensor, **fields):
    return api.post(f"/v2/models/{name}/infer", json={"inputs": [input_tensor], **fields})


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    weights, images = chain(), digits(80).test_x
    folder = tmp_path_factory.mktemp("images")
    content = keras_to_onnx(weights, (28, 28, 1))
    exported = export_network(
        content,
        folder,
        images,
        answers(weights, images),
        labels=tuple("0123456789"),
        trained_on="made up",
    )
    return ServedVersion("mnist-cnn-model", "4", str(exported.folder), exported.digest)


@pytest.fixture
def api(make_api, registry_with, production, pictures):
    return make_api(
        registry=registry_with(RegistryState(production, others={pictures.name: pictures}))
    )


def test_predictions_are_those_of_the_runtime(api, exported):
    rows = np.random.default_rng(1).normal(size=(7, len(CORE)))
    answer = infer(api, TICK, tensor(rows), id="mine").json()
    (output,) = answer["outputs"]
    assert output["data"] == load_model(exported.folder, exported.digest).predict(rows).tolist()
    assert (answer["id"], answer["model_version"], output["shape"]) == ("mine", "7", [7])


def test_nested_data_is_the_same_as_flat(api):
    rows = np.random.default_rng(2).normal(size=(3, len(CORE)))
    flat, nested = (
        infer(api, TICK, tensor(rows)),
        infer(api, TICK, tensor(rows, data=rows.tolist())),
    )
    assert flat.json() == nested.json()


def test_pictures_give_a_probability_per_label(api, pictures):
    image = np.random.default_rng(3).integers(0, 256, size=(2, 28, 28, 1))
    (output,) = infer(api, pictures.name, tensor(image)).json()["outputs"]
    assert output["shape"] == [2, 10]
    assert np.allclose(np.array(output["data"]).reshape(2, 10).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"shape": [1, 3], "data": [1, 2, 3]}, "wrong_tensor"),
        ({"data": [1.0]}, "wrong_tensor"),
        ({"data": ["1.0"] * len(CORE)}, "wrong_tensor"),
        ({"data": [True] * len(CORE)}, "wrong_tensor"),
        ({"data": [None] * len(CORE)}, "wrong_tensor"),
        ({"data": [1e39] * len(CORE)}, "wrong_tensor"),
        ({"data": [[[[[[1.0]]]]]]}, "wrong_tensor"),
        ({"shape": [100_000, len(CORE)]}, "too_many_rows"),
        ({"shape": [0, len(CORE)], "data": []}, "invalid_request"),
        ({"datatype": "BYTES"}, "invalid_request"),
    ],
)
def test_a_tensor_that_does_not_fit_the_model_is_refused(api, change, code):
    refused(infer(api, TICK, tensor(np.zeros((1, len(CORE))), **change)), 422, code)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_503(api, value):
    model = SimpleNamespace(
        row_shape=(2,), version="1", labels=(), predict=lambda rows: np.array([0.5, value])
    )
    api.app.state.service.models.others["broken"] = model
    problem = refused(infer(api, "broken", tensor(np.zeros((2, 2)))), 503, "model_failed")
    assert "not finite" in problem["detail"]


def test_rows_that_the_model_refuses_are_422(api):
    def predict(_rows):
        raise MatrixError("the model takes other rows", "look at its metadata")

    api.app.state.service.models.others["picky"] = SimpleNamespace(row_shape=(2,), predict=predict)
    problem = refused(infer(api, "picky", tensor(np.zeros((1, 2)))), 422, "wrong_tensor")
    assert (problem["detail"], problem["hint"]) == (
        "the model takes other rows",
        "look at its metadata",
    )


def test_without_an_id_the_response_has_none(api):
    assert "id" not in infer(api, TICK, tensor(np.zeros((1, len(CORE))))).json()


def test_an_unknown_model_is_404_with_the_served_names(api):
    for answer in (
        infer(api, "nope", tensor(np.zeros((1, 1)))),
        api.get("/v2/models/nope"),
        api.get("/v2/models/nope/ready"),
    ):
        assert "mnist-cnn-model, tick-model" in refused(answer, 404, "unknown_model")["hint"]


def test_metadata_has_inputs_outputs_and_names(api, pictures):
    tick = api.get(f"/v2/models/{TICK}").json()
    assert tick["features"] == list(CORE) and tick["inputs"][0]["shape"] == [-1, len(CORE)]
    images = api.get(f"/v2/models/{pictures.name}").json()
    assert images["outputs"][0]["shape"] == [-1, 10] and images["labels"][3] == "3"
    assert api.get("/v2").json()["name"] == "lakehouse-tick"
    assert api.get("/v2/health/live").json() == {"live": True}


def test_ready_has_the_checks_of_readyz(api, feeder):
    refused(api.get("/v2/health/ready"), 503, "not_ready")
    feeder.beat()
    assert api.get("/v2/health/ready").json() == {"ready": True}
    assert api.get(f"/v2/models/{TICK}/ready").json() == {"name": TICK, "ready": True}
