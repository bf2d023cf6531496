"""LightGBM text models under the same seal as ONNX: the original's forecasts, no pickle, and no
file that ends its reader.
"""

import functools
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import lightgbm_text, runtime, tracking
from models.export.lightgbm_booster import export_booster
from models.lightgbm_text import Booster
from models.registry import Registry
from models.runtime import LIGHTGBM_FILE, MANIFEST_FILE, Manifest, MatrixError

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
FEATURES = ("a", "b", "c")
FACTS = {"features": FEATURES, "trained_on": "made up", "trained_to_us": 1, "horizon_s": 86_400}


@functools.cache
def booster():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1000, 3)).astype(np.float32)
    y = 60_000 + 9_000 * np.sign(x[:, 0]) + rng.standard_normal(1000)
    quiet = {
        "verbosity": -1,
        "num_threads": 1,
        "seed": 1,
        "deterministic": True,
        "force_row_wise": True,
    }
    return lightgbm.train(quiet, lightgbm.Dataset(x, y, params={"verbosity": -1}), 20), x


@pytest.fixture
def made(tmp_path):
    return export_booster(*booster(), tmp_path / "model", **FACTS)


def resealed(folder: Path, **changes) -> str:
    content = json.loads((folder / MANIFEST_FILE).read_bytes())
    return Manifest(**content | changes).write(folder)


def test_the_file_answers_as_the_booster_and_equal_boosters_have_one_digest(made, tmp_path):
    original, x = booster()
    model = runtime.load_model(made.folder, made.digest, "power", "1")
    assert np.array_equal(model.predict(x.astype(np.float64)), original.predict(x))
    assert (model.features, model.horizon_s, made.difference) == (FEATURES, 86_400, 0)
    assert export_booster(original, x, tmp_path / "again", **FACTS).digest == made.digest
    with pytest.raises(MatrixError, match="b has"):
        model.predict(np.array([[0, np.nan, 0]]))
    runtime.check_in_child(made.folder, made.digest, 60)


def test_rows_one_by_one_in_threads_and_none_are_answered_alike(made):
    _, x = booster()
    model = runtime.load_model(made.folder, made.digest)
    with ThreadPoolExecutor(4) as pool:
        assert np.array_equal(
            list(pool.map(lambda row: model.predict(row[None, :])[0], x[:200])),
            model.predict(x[:200]),
        )
    assert np.array_equal(model.predict(np.asfortranarray(x[:50])), model.predict(x[:50]))
    assert model.predict(np.empty((0, 3))).shape == (0,)


def test_reading_needs_no_trainer(made):
    code = f"""
import sys
from pathlib import Path
from models import runtime
runtime.load_model(Path({str(made.folder)!r}), {made.digest!r})
heavy = ("lightgbm", "sklearn", "scipy", "pandas", "mlflow")
print([name for name in heavy if name in sys.modules])
"""
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_several_answers_a_row_are_refused(made):
    quiet = {"verbosity": -1, "objective": "multiclass", "num_class": 3, "num_threads": 1}
    _, x = booster()
    several = lightgbm.train(
        quiet, lightgbm.Dataset(x, np.arange(len(x)) % 3, params={"verbosity": -1}), 2
    )
    several.save_model(made.folder / LIGHTGBM_FILE)
    digest = resealed(made.folder, sha256=runtime.file_sha256(made.folder / LIGHTGBM_FILE))
    with pytest.raises(RegistryError, match="has 3 outputs per row"):
        runtime.load_model(made.folder, digest)


def test_one_changed_byte_is_refused_before_it_is_parsed(made):
    file = made.folder / LIGHTGBM_FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RegistryError, match="is not the file that was registered"):
        runtime.load_model(made.folder, made.digest)
    file.unlink()
    with pytest.raises(RegistryError, match="lacks model.lgb.txt"):
        runtime.load_model(made.folder, made.digest)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_truncated_file_never_ends_the_caller_even_when_its_digest_fits(made, share):
    file = made.folder / LIGHTGBM_FILE
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    digest = resealed(made.folder, sha256=runtime.file_sha256(file))
    with pytest.raises(RegistryError, match="first load in a child process"):
        runtime.check_in_child(made.folder, digest, 60)


@pytest.mark.parametrize("name", ["model.pkl", "../model.onnx", "", "/etc/passwd"])
def test_a_manifest_names_no_other_kind_of_file(made, name):
    with pytest.raises(RegistryError, match="is not a kind of model file"):
        runtime.load_model(made.folder, resealed(made.folder, file=name))


def test_a_manifest_from_before_there_were_kinds_is_of_onnx(made):
    content = json.loads((made.folder / MANIFEST_FILE).read_bytes())
    del content["file"]
    assert Manifest(**content).file == runtime.MODEL_FILE


def test_a_file_that_is_not_a_model_is_refused_with_the_message_of_lightgbm(tmp_path):
    file = tmp_path / LIGHTGBM_FILE
    file.write_text("not a model")
    with pytest.raises(RegistryError, match="^LightGBM: ") as error:
        Booster(file)
    assert error.value.hint == "train and register again"


def test_without_lightgbm_the_error_says_what_to_install(made, monkeypatch):
    lightgbm_text._load_library.cache_clear()
    monkeypatch.setattr(lightgbm_text, "find_spec", lambda _: None)
    with pytest.raises(RegistryError, match="lightgbm is not installed") as error:
        Booster(made.folder / LIGHTGBM_FILE)
    assert error.value.hint == "run `uv sync`"


def test_only_the_best_iterations_are_exported(tmp_path):
    original, x = booster()
    shorter = lightgbm.Booster(model_str=original.model_to_string())
    shorter.best_iteration = 5
    exported = export_booster(shorter, x, tmp_path, **FACTS)
    forecasts = runtime.load_model(tmp_path, exported.digest).predict(x)
    assert np.array_equal(forecasts, original.predict(x, num_iteration=5))
    assert not np.array_equal(forecasts, original.predict(x))


def test_the_registry_keeps_it_by_name_next_to_the_tick_model(made, mlflow_home):
    import mlflow

    settings = Settings(home=mlflow_home, model_name="lightgbm-alongside")
    client = tracking.client(settings)
    run_id = client.create_run(
        tracking.experiment_id(settings, client, "lightgbm-registry")
    ).info.run_id
    registry = Registry(settings, "lightgbm-own")
    registry.promote(registry.register_version(made, run_id, {"gate_pass": "true"}))
    assert Registry(settings).production_version() is None
    found = registry.fetch_production()
    assert (found.name, found.version, found.digest) == ("lightgbm-own", "1", made.digest)
    names = {file.name for file in found.path.rglob("*") if file.is_file()}
    assert {LIGHTGBM_FILE, MANIFEST_FILE, "MLmodel"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".skops"))]
    original, x = booster()
    assert np.array_equal(
        runtime.load_model(found.path, found.digest).predict(x), original.predict(x)
    )
    mlflow.set_tracking_uri(tracking.tracking_uri(settings))
    theirs = mlflow.pyfunc.load_model("models:/lightgbm-own@production").predict(
        pd.DataFrame(x[:9].astype(np.float64), columns=list(FEATURES))
    )
    assert np.allclose(theirs, original.predict(x[:9]))
    with pytest.raises(RegistryError, match="lightgbm-own has no earlier"):
        registry.roll_back()
    registry.retire()
    assert registry.production_version() is None
    shutil.rmtree(found.path)
    assert registry.fetch_version(registry.get_version("1")).digest == made.digest
