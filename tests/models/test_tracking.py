"""Experiments: created once, also when two processes create them at the same time."""

import pytest
from mlflow.exceptions import MlflowException

from contracts.config.settings import Settings
from models import tracking


class Client:
    """A client of an MLflow server in which the experiment appears after `appears_after` reads."""

    def __init__(self, appears_after, created=None):
        self.reads = 0
        self.appears_after = appears_after
        self.created = created
        self.location = "unset"

    def get_experiment_by_name(self, name):
        self.reads += 1
        if self.reads <= self.appears_after:
            return None
        return type("Experiment", (), {"experiment_id": 7})

    def create_experiment(self, name, artifact_location):
        self.location = artifact_location
        if self.created is None:
            raise MlflowException("already exists")
        return self.created


def test_an_existing_experiment_is_used(tmp_path):
    client = Client(appears_after=0)
    assert tracking.experiment_id(Settings(home=tmp_path), client, "e") == "7"
    assert client.location == "unset"


def test_artifacts_are_below_home_without_a_server_and_its_own_with_one(tmp_path):
    local = Client(appears_after=9, created=3)
    assert tracking.experiment_id(Settings(home=tmp_path), local, "e") == "3"
    assert local.location == (tmp_path / "mlflow" / "artifacts" / "e").as_uri()
    remote = Client(appears_after=9, created=3)
    settings = Settings(home=tmp_path, mlflow_tracking_uri="http://127.0.0.1:9")
    tracking.experiment_id(settings, remote, "e")
    assert remote.location is None


def test_the_experiment_of_another_process_is_used(tmp_path):
    assert tracking.experiment_id(Settings(home=tmp_path), Client(appears_after=1), "e") == "7"


def test_a_server_that_refuses_is_an_error(tmp_path):
    with pytest.raises(MlflowException, match="already exists"):
        tracking.experiment_id(Settings(home=tmp_path), Client(appears_after=9), "e")
