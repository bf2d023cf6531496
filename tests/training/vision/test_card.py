"""The model card of an image classifier shows its verdict, data and epochs."""

import pytest

from training.vision.card import LOSSY, write_card
from training.vision.specs import VisionSpec
from training.vision.steps import evaluate_vision_gate

STATE = {"source": "mnist.npz", "dataset_sha256": "abc", "lossy": False}
FACTS = {"best_epoch": 2, "optimizer": "adam"}
HISTORY = [
    {"epoch": 1.0, "loss": 0.5, "accuracy": 0.8, "val_accuracy": 0.75},
    {"epoch": 2.0, "loss": 0.25, "accuracy": 0.9, "val_accuracy": 0.85},
]


def card(accuracy=0.97, **state):
    spec = VisionSpec("mnist")
    verdict = evaluate_vision_gate(spec, accuracy, 10_000)
    return write_card(spec, verdict, STATE | state, FACTS, HISTORY)


def test_every_epoch_is_a_row_and_the_best_one_is_named():
    text = card()
    assert "| 1 | 0.5000 | 0.8000 | 0.7500 |\n| 2 | 0.2500 | 0.9000 | 0.8500 |" in text
    assert "The model is from epoch 2" in text
    assert "mnist.npz, SHA-256 of the arrays `abc`" in text
    assert "optimizer adam" in text


@pytest.mark.parametrize(("accuracy", "passed"), [(0.97, True), (0.95, False)])
def test_the_verdict_is_shown_with_its_reasons(accuracy, passed):
    text = card(accuracy)
    assert ("Passed the gate." in text) is passed
    assert ("not registered: accuracy 0.95 is not > 0.95" in text) is not passed


def test_a_jpeg_copy_is_marked():
    assert LOSSY in card(lossy=True)
    assert LOSSY not in card()
