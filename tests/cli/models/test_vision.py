"""`tick train mnist|cifar10` and `tick predict mnist|cifar10` without a network to train."""

import numpy as np
import pytest

from cli.models import vision
from cli.models.vision import _class_cells, _describe_outcome, _print_result
from tests.cli.reports.reports import PASSED, REFUSED
from training.vision.specs import VisionSpec
from training.vision.steps import VisionTraining


def training(**fields) -> VisionTraining:
    defaults = {
        "run_id": "f" * 32,
        "model": "mnist-digits",
        "verdict": PASSED,
        "version": "4",
        "repeated": False,
    }
    return VisionTraining(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("probabilities", "cells"),
    [
        ([0.1, 0.7, 0.2], ("one", "70.0%", "two 20.0%")),
        ([0.0, 0.0, 1.0], ("two", "100.0%", "one 0.0%")),
        ([0.999, 0.0009, 0.0001], ("zero", "99.9%", "one 0.1%")),
    ],
)
def test_the_two_most_probable_classes_are_shown(probabilities, cells):
    assert _class_cells(("zero", "one", "two"), np.array(probabilities)) == cells


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (training(), "promoted[/]: mnist-digits version 4 is Production"),
        (training(repeated=True), "Production (the same content was registered before"),
        (
            training(version=None, verdict=REFUSED),
            "nothing registered: sharpe 0.5 is not > 1; the data ends too early",
        ),
    ],
    ids=["promoted", "repeated", "refused"],
)
def test_the_outcome_is_one_sentence(result, text):
    assert text in _describe_outcome(result)


def test_the_result_names_the_gate_and_the_run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _print_result(VisionSpec("cifar10", "simple", 0, 1), training(version=None, verdict=REFUSED))
    output = " ".join(capsys.readouterr().out.split())
    assert "The gate for cifar10, profile simple, on the plain test images" in output
    assert f"MLflow run {'f' * 32}" in output
    assert "refused, nothing registered" in output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "mnist", "--epochs", "-1"), "--epochs"),
        (("train", "mnist", "--epochs", "1001"), "--epochs"),
        (("train", "cifar10", "--profile", "resnet50"), "'resnet50'"),
        (("train", "mnist", "--seed", "x"), "--seed"),
        (("predict", "mnist"), "Missing"),
    ],
)
def test_a_wrong_option_is_named(tick, free_settings, arguments, named):
    result = tick(free_settings, *arguments)
    assert result.exit_code == 2
    assert named in result.output


def test_data_that_does_not_exist_is_named(tick, free_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = tick(free_settings, "train", "mnist", "--data", str(tmp_path / "none.npz"))
    assert result.exit_code == 1
    assert "→" in result.stderr


def test_the_networks_of_the_option_are_those_of_the_training():
    for profile in vision.Profile:
        assert VisionSpec("cifar10", profile.value, 0, 1).profile == profile.value
