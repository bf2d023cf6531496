"""The project's own processes as services: only the API gets the key, and the MLflow page starts
and stops.
"""

import os
import signal
import urllib.request

import pytest

from contracts.config import paths
from stack import platform, secrets
from stack.services import project_services
from tests.support.command_lines import command_lines


def test_the_api_gets_the_key_and_the_writer_does_not(free_settings):
    secrets.ensure_api_key(free_settings)
    assert project_services.api(free_settings).env[secrets.API_KEY_NAME] == secrets.api_key(
        free_settings
    )
    assert secrets.API_KEY_NAME not in project_services.writer(free_settings).env


def test_no_service_is_ready_before_it_runs(free_settings):
    for name in ("writer", "api", "mlflow"):
        assert not platform.find_service(free_settings, name).ready()


def test_the_mlflow_page_is_the_server_of_the_settings(make_settings):
    settings = make_settings(mlflow_tracking_uri="http://127.0.0.1:5000")
    assert project_services.mlflow_url(settings) == "http://127.0.0.1:5000"


def test_the_default_registry_is_below_home(free_settings, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert paths.mlflow_uri(free_settings) == f"sqlite:///{free_settings.root}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere.db")
    assert paths.mlflow_uri(free_settings) == "sqlite:////elsewhere.db"


@pytest.mark.integration
def test_up_starts_an_api_that_died_but_none_that_was_stopped(free_settings, monkeypatch):
    monkeypatch.setattr(platform, "PLATFORM", ())  # its own tests are in test_platform.py
    try:
        killed = platform.start(free_settings, "api").process()
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(20)
        platform.up(free_settings)
        again = platform.find_service(free_settings, "api")
        assert again.ready() and again.process().pid != killed.pid
        assert platform.find_service(free_settings, "writer").process() is None
    finally:
        platform.down(free_settings)
    platform.up(free_settings)
    assert again.process() is None


@pytest.mark.integration
def test_the_mlflow_page_starts_and_stops(free_settings, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    try:
        service = platform.start(free_settings, "mlflow")
        with urllib.request.urlopen(project_services.mlflow_url(free_settings), timeout=10) as page:
            assert b"MLflow" in page.read()
        assert platform.start(free_settings, "mlflow").process() == service.process()
        assert not [line for line in command_lines() if paths.mlflow_uri(free_settings) in line]
    finally:
        stopped = platform.down(free_settings)
    assert stopped == ["mlflow"]
    assert not service.ready()
    assert (free_settings.root / "mlflow" / "mlflow.db").exists()
