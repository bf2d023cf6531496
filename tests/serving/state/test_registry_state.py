"""Reading the registry through its child process, with children that fail."""

import asyncio
import gc
import sys
from pathlib import Path

import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError, ServiceError
from contracts.files import hold_lock
from serving.state import registry_state
from serving.state.registry_state import RegistryState, ServedVersion, read_registry

VERSION = {"name": "tick-model", "version": "7", "path": "/models/7", "digest": "d"}
STATE = (
    '{"production": %s, "challenger": null, "others": {"power-model": {"error": "none", "hint":'
    ' ""}}, "versions": [{"version": "7"}], "absent": %s}'
)
REFUSED = '{"error": "tick-model has no Production version", "hint": "train one"}'
NOTED = '{"name": "tick-model", "version": "7", "path": "/models/7", "digest": "d"}'


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Replaces the child process by a shell script."""

    def replace(script):
        program = tmp_path / "child"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return replace


def read(tmp_path) -> RegistryState:
    return asyncio.run(read_registry(Settings(home=tmp_path)))


def test_the_last_line_of_the_child_is_the_state(child, tmp_path):
    child(f"echo a warning; echo '{STATE % (NOTED, 'false')}'")
    state = read(tmp_path)
    assert state.production == ServedVersion(**VERSION)
    assert (state.challenger, state.others, state.age_s) == (None, {}, 0.0)
    assert not state.no_production
    assert not state.retired


def test_versions_without_a_production_one_mean_retired(child, tmp_path):
    child(f"echo '{STATE % (REFUSED, 'true')}'")
    state = read(tmp_path)
    assert isinstance(state.production, RegistryError)
    assert state.no_production
    assert state.retired


@pytest.mark.parametrize("script", ["echo >&2 cause; exit 1", "echo nonsense; echo >&2 cause"])
def test_a_child_without_a_result_is_an_error_with_its_last_line(child, tmp_path, script):
    child(script)
    with pytest.raises(ServiceError, match="cannot be read: cause") as error:
        read(tmp_path)
    assert error.value.hint == "check TICK_MLFLOW_TRACKING_URI"


def test_a_child_that_hangs_is_killed(child, tmp_path, monkeypatch):
    monkeypatch.setattr(registry_state, "CHILD_S_MAX", 2)
    child(f"echo $$ > {tmp_path}/pid; exec sleep 600")

    with pytest.raises(ServiceError, match=r"did not respond within 2 s"):
        read(tmp_path)
    gc.collect()  # an open pipe would be a warning now
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_waiting_for_another_process_times_out(child, tmp_path, monkeypatch):
    monkeypatch.setattr(registry_state, "LOCK_S_MAX", 0.2)
    settings = Settings(home=tmp_path)
    lock = settings.root / "models" / "tick-model.registry.lock"
    lock.parent.mkdir(parents=True)
    with hold_lock(lock, wait=False), pytest.raises(ServiceError, match="another API process"):
        read(tmp_path)


def test_the_cache_key_has_no_password():
    settings = Settings(mlflow_tracking_uri="http://user:canary@host")
    assert "canary" not in registry_state._cache_key(settings, ["7@1"])
    keys = {registry_state._cache_key(settings, signals) for signals in (["7@1"], ["8@2"])}
    assert len(keys) == 2


def test_the_child_gets_no_setting_by_its_environment(tmp_path, monkeypatch):
    program = tmp_path / "child"
    program.write_text("#!/bin/sh\ncat >/dev/null\nenv | grep -c -E 'TICK_REDIS|KEPT'\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("TICK_REDIS_PASSWORD", "canary")
    monkeypatch.setenv("KEPT", "1")
    assert asyncio.run(registry_state._run_child(Settings(home=tmp_path))) == b"1"
