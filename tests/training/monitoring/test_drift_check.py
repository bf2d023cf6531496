"""The summary of a drift check, and a model whose features the data set no longer has."""

import math

import polars as pl
import pytest

from contracts.durations import DAY_US
from contracts.errors import RegistryError
from contracts.features import CORE
from models.runtime import Model
from training.monitoring import drift_check
from training.monitoring.drift_check import DriftCheck, NoProductionError
from training.tick.drift import PREDICTION, ColumnDrift, DriftVerdict, IcEstimate

IC = IcEstimate(math.nan, math.nan, math.nan, 0)


def result(**psis):
    columns = tuple(ColumnDrift(name, psi, 0.0, 1.0, 0.0) for name, psi in psis.items())
    return DriftCheck(DriftVerdict(columns, IC, ("reason",)), True, "3", 200, 5)


def test_the_summary_counts_alerts_of_features_and_shows_the_predictions_psi():
    psis = {CORE[0]: 0.3, CORE[1]: 0.26, CORE[2]: 0.25, PREDICTION: 0.9}
    summary = result(**psis).summary()
    assert summary == {"alerts": 2, "prediction_psi": 0.9, "retrain": True, "version": "3"}


def test_without_a_reference_of_the_predictions_their_psi_is_unknown():
    assert result(**{CORE[0]: 0.3}).summary()["prediction_psi"] is None


def test_the_json_has_the_verdict_and_the_last_training():
    values = result(**{CORE[0]: 0.3}).as_dict()
    assert (values["due"], values["rows"], values["last_retrain_us"]) == (True, 200, 5)
    assert (values["retrain"], values["reasons"]) == (True, ["reason"])
    assert values["columns"][0]["level"] == "alert"


def test_a_feature_that_is_gone_is_named():
    model = Model("m", "4", ("a", "gone"), "", "", 0, 60, lambda rows: rows[:, 0])
    with pytest.raises(RegistryError, match=r"version 4 needs \['gone'\]"):
        drift_check._add_forecast(model, pl.DataFrame({"a": [1.0]}))
    usable = Model("m", "4", ("a",), "", "", 0, 60, lambda rows: rows[:, 0] * 2)
    rows = drift_check._add_forecast(usable, pl.DataFrame({"a": [1.0, 2.0]}))
    assert rows[PREDICTION].to_list() == [2.0, 4.0]


def test_without_a_production_model_it_says_what_will_make_one(free_settings):
    with pytest.raises(NoProductionError) as caught:
        drift_check.check_drift(free_settings, 0, DAY_US, DAY_US)
    assert "has no Production version" in caught.value.message
    assert "a training that passes the gate makes one" in str(caught.value)
    assert "`tick train tick`" in str(caught.value)
