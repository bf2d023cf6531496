"""`tick train` and `tick predict` of the image kinds as a person types them: exit codes, tables,
and what went wrong with a way on.
"""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from tests.support.made_images import digits, trained
from tests.training.vision.test_images import keras_file
from training.vision import child, steps

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def tick(tmp_path, mlflow_home, monkeypatch, request):
    """Runs the command line on a separate home; a training process is what a trained one leaves.
    Returns exit code and all output.
    """
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    values = {
        "HOME": tmp_path / "home",
        "MLFLOW_TRACKING_URI": f"sqlite:///{mlflow_home}/mlflow/mlflow.db",
    }
    values |= {"MNIST_MODEL_NAME": request.node.name, "MNIST_EXPERIMENT": request.node.name}
    for name, value in values.items():
        monkeypatch.setenv(f"TICK_{name}", str(value))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setitem(child.MODULES, "keras", "json")
    monkeypatch.setattr(
        child,
        "run_training_process",
        lambda given, spec, at, progress: trained(given, spec, at.path.name, at.load_images()),
    )
    settings.cache_clear()

    def run(*words):
        result = CliRunner().invoke(app, words)
        return result.exit_code, " ".join(result.output.split())

    yield run
    settings.cache_clear()


def test_digits_are_promoted_shown_and_recognised(tick, tmp_path):
    made = digits(tested=steps.TEST_IMAGES_MIN)
    code, said = tick("train", "mnist", "--data", str(keras_file(tmp_path / "mnist.npz", made)))
    assert code == 0, said
    assert "promoted" in said and "version 1 is Production" in said
    code, said = tick("model", "show", "--name", "test_digits_are_promoted_shown_and_recognised")
    assert (
        code == 0
        and "pixels of shape (28, 28, 1)" in said
        and "0, 1, 2" in said
        and "1970" not in said
    )
    chosen = [int(np.flatnonzero(made.test_y == digit)[0]) for digit in (3, 8)]
    for place in chosen:
        Image.fromarray(made.test_x[place, :, :, 0]).save(tmp_path / f"{place}.png")
    code, said = tick("predict", "mnist", *(str(tmp_path / f"{place}.png") for place in chosen))
    assert code == 0, said
    assert [cell.strip() for cell in said.split("│") if cell.strip() in {"3", "8"}] == ["3", "8"]


def test_a_refusal_is_exit_code_three_and_says_why(tick, tmp_path):
    code, said = tick("train", "mnist", "--data", str(keras_file(tmp_path / "mnist.npz", digits())))
    assert code == 3
    assert "refused, nothing registered: test_images 60 is not >= 10000" in said
    code, said = tick("predict", "mnist", "any.png")
    assert code == 1 and "no Production version" in said


def test_wrong_files_and_a_missing_framework_are_said(tick, tmp_path, monkeypatch):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    code, said = tick("train", "mnist", "--data", str(tmp_path / "bad.npz"))
    assert code == 1 and "cannot be read as mnist" in said
    monkeypatch.setitem(child.MODULES, "torch", "no_such_framework")
    code, said = tick("train", "cifar10")
    assert code == 1 and "make install-vision" in said
    assert tick("train", "cifar10", "--profile", "none")[0] == 2


def test_help_says_the_exit_codes(tick):
    assert "3: trained, but refused by the gate" in tick("train", "mnist", "--help")[1]
    assert "white on black" in tick("predict", "mnist", "--help")[1]
