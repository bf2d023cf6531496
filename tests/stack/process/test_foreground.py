"""A service in the foreground replaces the process; the setup of a platform has an order."""

import json
import os
import subprocess
import sys

import pytest

from contracts.errors import ServiceError
from feature_store.feast_repo import objects as feast_objects
from feature_store.flink import object_store
from lakehouse.tables import Lakehouse
from stack import platform, secrets
from stack.process import foreground
from stack.process.service import Service
from stack.services import flink, kafka_topics

# Replaces itself by a service that prints its PID and a variable of its environment.
PARENT = """
import sys
from pathlib import Path
from contracts.config.settings import Settings
from stack import platform
from stack.process.foreground import exec_service
from stack.process.service import Service
home = Path(sys.argv[1])
code = "import json, os; print(json.dumps([os.getpid(), os.environ['ROLE']]))"
service = Service("small", "1", (sys.executable, "-c", code), lambda: True, home,
                  env={"ROLE": "server"}, prepare=lambda: (home / "prepared").touch())
platform.FACTORIES["small"] = lambda _: service
exec_service(Settings(home=home), "small")
"""


def test_the_service_gets_the_process_and_its_environment(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        output, _ = child.communicate()
    assert json.loads(output) == [child.pid, "server"]  # so that signals reach it directly
    assert child.returncode == 0
    assert (tmp_path / "prepared").exists()


def test_a_missing_program_is_named_after_the_preparation(free_settings, monkeypatch):
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("replaced this process"))
    prepared = []
    service = Service(
        "small",
        "1",
        ("no-such-program",),
        lambda: True,
        free_settings.root,
        prepare=lambda: prepared.append("small"),
    )
    monkeypatch.setattr(platform, "FACTORIES", {"small": lambda _: service})
    with pytest.raises(ServiceError, match="small: program no-such-program not found") as caught:
        foreground.exec_service(free_settings, "small")
    assert caught.value.hint == "run `tick doctor`"
    assert prepared == ["small"]
    assert secrets.find_api_key(free_settings)


@pytest.fixture
def steps(monkeypatch):
    """The steps of the setup in their order, without doing them."""
    names = []
    monkeypatch.setattr(kafka_topics, "set_up_topics", lambda _: names.append("topics"))
    monkeypatch.setattr(Lakehouse, "create", lambda _: names.append("tables"))
    monkeypatch.setattr(feast_objects, "apply", lambda _: names.append("feast"))
    monkeypatch.setattr(flink, "prepare_home", lambda _: names.append("flink home"))
    monkeypatch.setattr(object_store, "verify", lambda _: names.append("object store"))
    return names


def test_the_setup_reports_each_step(steps, free_settings):
    reports = []
    foreground.initialize_platform(free_settings, lambda *report: reports.append(report))
    assert steps == ["topics", "tables", "feast"]
    assert reports == [("prepare", done, 4) for done in (1, 2, 3, 4)]


def test_an_object_store_is_verified_before_a_table_is_created(steps, make_settings):
    foreground.initialize_platform(make_settings(warehouse_uri="s3://lake/tick"))
    assert steps == ["topics", "flink home", "object store", "tables", "feast"]


def test_a_step_that_fails_ends_the_setup(steps, free_settings, monkeypatch):
    def refuse(_settings) -> None:
        raise ServiceError("Kafka did not create the topics")

    monkeypatch.setattr(kafka_topics, "set_up_topics", refuse)
    with pytest.raises(ServiceError, match="did not create"):
        foreground.initialize_platform(free_settings)
    assert steps == []
