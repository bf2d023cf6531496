"""The predictor alone, with a model of which the test chooses the output."""

from types import SimpleNamespace

import numpy as np
import pytest

from contracts.config.settings import Settings
from serving.core.predictor import Predictor, UnknownFeaturesError
from serving.core.status import Status

ROWS = [("V:A", {"x": 1.0, "y": 2.0}), ("V:B", {"x": 3.0, "y": 4.0})]


def predictor_of(*log_returns: float) -> Predictor:
    model = SimpleNamespace(
        features=("x", "y"), predict=lambda matrix: np.array(log_returns)[: len(matrix)]
    )
    return Predictor(Settings(), None, model)


def test_a_prediction_is_in_basis_points_and_names_its_model():
    predictor = predictor_of(0.0001, -0.0002)
    answers = predictor.predict_rows(ROWS)
    assert [answer.prediction_bps for answer in answers] == [1.0, -2.0]
    assert all(answer.model is predictor.model for answer in answers)
    assert [answer.features for answer in answers] == [features for _, features in ROWS]


@pytest.mark.parametrize("log_return", [float("nan"), float("inf"), -float("inf")])
def test_an_output_that_is_not_finite_refuses_its_symbol_only(log_return):
    failed, ok = predictor_of(log_return, 0.0001).predict_rows(ROWS)
    assert (failed.status, failed.prediction_bps) == (Status.MODEL_FAILED, None)
    assert "not finite" in failed.outcome.reason
    assert (ok.status, ok.prediction_bps) == (Status.OK, 1.0)


def test_the_names_of_every_row_are_those_of_the_model():
    rows = [*ROWS, ("V:C", {"x": 1.0, "z": 2.0})]
    with pytest.raises(UnknownFeaturesError) as error:
        predictor_of(0.0).predict_rows(rows)
    assert (error.value.index, error.value.unknown, error.value.missing) == (2, ("z",), ("y",))


def test_another_model_scores_the_same_features():
    answers = predictor_of(0.0001, 0.0001).predict_rows(ROWS)
    other = predictor_of(0.0003, 0.0004)
    rescored = other.rescore(answers)
    assert [answer.prediction_bps for answer in rescored] == pytest.approx([3.0, 4.0])
    assert [answer.features for answer in rescored] == [answer.features for answer in answers]
    assert all(answer.model is other.model for answer in rescored)


def test_refused_answers_are_not_scored_again():
    failed = predictor_of(float("nan")).predict_rows(ROWS[:1])
    assert predictor_of(0.0001).rescore(failed) == failed
