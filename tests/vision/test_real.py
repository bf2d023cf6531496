"""Both networks trained for real on the real images: MNIST passes its gate, a short CIFAR-10 is
refused, a killed training goes on.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from contracts.config.settings import Settings
from models import runtime, tracking
from models.registry import Registry
from tests.support.cifar_part import cifar_batches
from tests.support.real_data import real
from training.vision import directory, images, steps, training_loop
from training.vision.specs import MNIST, VisionSpec

pytestmark = [
    pytest.mark.groups,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
    ),
]
REPO = Path(__file__).parents[2]


def quiet(step, done, total):
    pass


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("vision"))


@pytest.fixture(scope="module")
def cifar(settings) -> Path:
    return cifar_batches(settings.root / "cifar", train_every=16, test_every=10)


def test_mnist_passes_the_gate_with_the_required_network(settings):
    result = steps.train_network(
        settings, VisionSpec("mnist", epochs=1), real("mnist/mnist.npz"), "k", quiet
    )
    assert result.version == "1" and result.verdict.checks[0].value > 0.95
    now = Registry(settings, settings.mnist_model_name).fetch_production()
    made = images.read_images(MNIST, real("mnist/mnist.npz"))
    answers = runtime.load_model(now.path, now.digest).predict(made.test_x[:500])
    assert (answers.argmax(axis=1) == made.test_y[:500]).mean() > 0.9
    facts = json.loads(
        (
            directory.vision_directory(settings, VisionSpec("mnist", epochs=1), "k").path
            / "facts.json"
        ).read_text()
    )
    assert facts["parameters"] == 121_930
    params = tracking.client(settings).get_run(result.run_id).data.params
    required = {"model_type": "cnn", "optimizer": "adam", "epochs": "1", "batch_size": "32"}
    assert {name: params[name] for name in required} == required and "execution_date" in params


@pytest.mark.parametrize("profile", ["resnet9", "simple"])
def test_a_short_cifar_is_trained_and_refused(settings, cifar, profile):
    seen = []
    result = steps.train_network(
        settings,
        VisionSpec("cifar10", profile, epochs=2),
        cifar,
        profile,
        lambda *step: seen.append(step),
    )
    assert result.version is None and 0.1 < result.verdict.checks[0].value < 0.85
    assert Registry(settings, settings.cifar10_model_name).list_versions() == []
    assert [done for name, done, _ in seen if name == "train"] == sorted(
        done for name, done, _ in seen if name == "train"
    )


@pytest.mark.parametrize(
    "spec",
    [
        VisionSpec("cifar10", "simple", epochs=3, seed=5),
        VisionSpec("mnist", epochs=3, seed=5, rows_max=3000),
    ],
    ids=str,
)
def test_a_killed_training_goes_on_and_ends_as_an_undisturbed_one(settings, cifar, spec):
    data, framework = (
        cifar if spec.kind == "cifar10" else real("mnist/mnist.npz"),
        spec.dataset.framework,
    )
    steps.prepare_data(settings, spec, "whole", data, quiet)
    steps.train_model(settings, spec, "whole", quiet)
    steps.prepare_data(settings, spec, "killed", data, quiet)
    at = directory.vision_directory(settings, spec, "killed")
    env = os.environ | {"PYTHONPATH": str(REPO), "TRAIN_JOBS": str(settings.train_threads)}
    child = subprocess.Popen(
        [sys.executable, "-m", f"training.vision.{framework}_child", str(at.path)],
        stdin=subprocess.PIPE,
        env=env,
    )
    while not training_loop.read_history(at):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert 1 <= len(training_loop.read_history(at)) < 3
    steps.train_model(settings, spec, "killed", quiet)
    assert training_loop.read_history(at) == training_loop.read_history(
        directory.vision_directory(settings, spec, "whole")
    )
    ones, others = (
        np.load(directory.vision_directory(settings, spec, key).path / "answers.npz")["answers"]
        for key in ("whole", "killed")
    )
    assert np.abs(ones - others).max() < 1e-5
