"""Parameters of an image training: those of the run, else those of the settings."""

import pytest

from dags.tasks import vision

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_empty_parameters_mean_the_defaults(in_task, settings):
    with in_task({"seed": None, "epochs": None, "rows_max": None}):
        spec = vision._spec("mnist", "cnn")
    assert (spec.seed, spec.rows_max) == (settings.seed, 0)


def test_parameters_of_the_run_win(in_task):
    with in_task({"seed": 0, "epochs": 3, "rows_max": 50}):
        spec = vision._spec("cifar10", "simple")
    assert (spec.seed, spec.epochs, spec.rows_max) == (0, 3, 50)


def test_a_missing_file_names_its_path(in_task, tmp_path):
    from contracts.errors import TickError

    missing = tmp_path / "mnist.npz"
    with in_task({"data": str(missing)}), pytest.raises(TickError) as error:
        vision.prepare_data("mnist", "cnn")
    assert str(missing) in error.value.message


@pytest.mark.parametrize("step", [vision.train_model, vision.evaluate_model, vision.register_model])
def test_a_step_without_its_predecessor_says_which_to_run_first(in_task, step):
    from contracts.errors import DatasetError

    with in_task(), pytest.raises(DatasetError) as error:
        step("mnist", "cnn")
    assert "train again, or in Airflow clear the task" in error.value.hint
