"""Walk-forward validation with a real MLflow: a nested run per fold, metrics over all folds joined.

It does not read the hold-out days, and repeating it gives the same numbers.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from contracts.config.settings import Settings
from models import tracking
from tests.support.market import T0, dataset
from training.run import mlflow_run
from training.tick import model
from training.tick.data import split
from training.tick.evaluation import walk_forward

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
NAMES = ("random_forest", "lightgbm", "ols", "ar1", "zero", "buy_and_hold")
DATA = dataset(days=12)


def holdout(data, settings):
    return split.holdout_split(
        data.frame, settings.test_days, settings.embargo_share, settings.decision_grid_s
    )


def walk(settings, parts):
    """Run it below a separate parent; the result, the parent's id, and the progress."""
    run, steps = mlflow_run.start(settings, "parent", T0), []
    with run.closing():
        made = walk_forward.validate_walk_forward(
            settings, parts, run, " (planted)", lambda *step: steps.append(step)
        )
    return made, run.run_id, steps


@pytest.fixture(scope="module")
def settings(mlflow_home):
    return Settings(
        home=mlflow_home, experiment="walk-forward", train_threads=1, walk_forward_folds=4
    )


@pytest.fixture(scope="module")
def walked(settings):
    return walk(settings, holdout(DATA, settings))


def below(settings, run_id):
    """Runs nested in `run_id` by name."""
    client = tracking.client(settings)
    experiment = client.get_experiment_by_name(settings.experiment).experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return {run.info.run_name: run for run in found}


class TestRuns:
    def test_each_fold_is_a_nested_run_with_its_metrics(self, settings, walked):
        made, run_id, steps = walked
        parent = below(settings, run_id)["walk_forward"]
        children = below(settings, parent.info.run_id)
        assert set(children) == {f"fold_{number}" for number in range(1, 5)}
        for fold in made.folds:
            run = children[f"fold_{fold.number}"]
            assert run.info.status == "FINISHED"
            assert run.data.metrics["train_samples"] == fold.train_rows
            assert run.data.metrics["sharpe.random_forest"] == pytest.approx(
                fold.reports["random_forest"].sharpe
            )
            known = run.data.metrics.keys() | {
                tag.removeprefix("undefined.") for tag in run.data.tags
            }
            assert known >= {
                f"{number}.{name}" for number in walk_forward.FOLD_METRICS for name in NAMES
            }
        assert parent.data.params["random_forest.n_estimators"] == str(walk_forward.TREES)
        assert parent.data.params["lightgbm.num_leaves"] == "15"
        assert steps[-1] == ("walk forward", 4, 4)

    def test_the_parent_has_the_joined_numbers(self, settings, walked):
        made, run_id, _ = walked
        run = tracking.client(settings).get_run(run_id)
        assert run.data.metrics["walk_forward.folds"] == 4
        assert run.data.metrics["walk_forward.ic.random_forest"] == pytest.approx(
            made.joined["random_forest"].ic
        )
        assert run.data.tags["walk_forward"] == "4 folds"

    def test_table_and_picture_are_artifacts(self, settings, walked, tmp_path):
        made, run_id, _ = walked
        client, run = tracking.client(settings), below(settings, run_id)["walk_forward"]
        table = json.loads(
            Path(
                client.download_artifacts(run.info.run_id, "walk_forward.json", str(tmp_path))
            ).read_text()
        )
        assert [fold["test_rows"] for fold in table["folds"]] == [
            fold.test_rows for fold in made.folds
        ]
        assert table["joined"]["zero"]["sharpe"] is None
        assert set(table["folds"][0]["reports"]) == set(NAMES)
        picture = Path(
            client.download_artifacts(run.info.run_id, "walk_forward.png", str(tmp_path))
        ).read_bytes()
        assert picture.startswith(b"\x89PNG")


class TestNumbers:
    def test_the_planted_signal_is_found_in_every_fold(self, walked):
        made, *_ = walked
        for fold in made.folds:
            assert fold.reports["random_forest"].ic > 0.15
            assert fold.reports["lightgbm"].ic > 0.15
        assert made.joined["random_forest"].sharpe > made.joined["buy_and_hold"].sharpe

    def test_the_gates_days_are_in_no_fold(self, settings, walked):
        made, *_ = walked
        assert max(fold.test_to_us for fold in made.folds) <= holdout(DATA, settings).test_from_us
        other = DATA.frame.with_columns(
            pl.when(pl.col("decision_us") >= holdout(DATA, settings).test_from_us)
            .then(-pl.col("y"))
            .otherwise("y")
            .alias("y")
        )
        changed = split.holdout_split(
            other, settings.test_days, settings.embargo_share, settings.decision_grid_s
        )
        again = walk(settings, changed)[0]
        assert [fold.as_dict() for fold in again.folds] == [
            fold.as_dict() for fold in made.folds
        ]  # JSON: undefined equals undefined

    def test_with_the_same_seed_it_is_the_same_on_any_number_of_cores(self, settings, walked):
        parts = holdout(DATA, settings)
        cut = walk_forward.folds.cut_folds(parts.train, 4, parts.embargo_us)[0]
        one, two = (
            walk_forward.forecast_fold(cut, settings.model_copy(update={"train_threads": jobs}))
            for jobs in (1, 2)
        )
        assert list(one) == list(NAMES)
        assert all(np.array_equal(one[name], two[name]) for name in NAMES)

    def test_a_fold_keeps_the_forests_parameters_but_its_size(self):
        assert model.FOREST["n_estimators"] > walk_forward.TREES


def test_too_short_a_history_is_said_and_stops_nothing(settings):
    short = dataset(days=8, symbols=("SYNTH:AAAUSD",))
    made, run_id, steps = walk(settings, holdout(short, settings))
    assert (made.folds, made.joined, steps) == ([], {}, [])
    assert made.note.startswith("0 of 4 folds")
    run = tracking.client(settings).get_run(run_id)
    assert run.data.tags["walk_forward"] == made.note
    assert run.data.metrics == {"walk_forward.folds": 0}
