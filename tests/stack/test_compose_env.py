"""The `.env` of docker-compose.yml: complete, private, and never changed where it has a value."""

import re
import stat

import pytest

from stack.compose_env import DEFAULTS, HEADER, SECRETS, complete_env


def values_of(file) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", file.read_text(), re.MULTILINE))


def test_a_new_file_has_every_variable_and_says_how_to_rotate_one(tmp_path):
    file = tmp_path / ".env"
    assert complete_env(file) == [*DEFAULTS, *SECRETS]
    values = values_of(file)
    assert values["COMPOSE_PROFILES"] == "core"
    assert set(values) == {*DEFAULTS, *SECRETS}
    assert file.read_text().startswith(HEADER)


def test_every_secret_is_long_and_different_and_needs_no_quotes(tmp_path):
    complete_env(tmp_path / ".env")
    secrets = [values_of(tmp_path / ".env")[name] for name in SECRETS]
    assert len(set(secrets)) == len(SECRETS)
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in secrets)


def test_only_the_owner_reads_it(tmp_path):
    file = tmp_path / ".env"
    file.write_text("")
    file.chmod(0o644)
    complete_env(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_run_changes_nothing(tmp_path):
    file = tmp_path / ".env"
    complete_env(file)
    before = file.read_text()
    written_ns = file.stat().st_mtime_ns
    assert complete_env(file) == []
    assert file.read_text() == before
    assert file.stat().st_mtime_ns == written_ns


@pytest.mark.parametrize("name", SECRETS)
def test_a_deleted_line_is_generated_again_and_alone(tmp_path, name):
    file = tmp_path / ".env"
    complete_env(file)
    before = values_of(file)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(f"{name}=")))
    assert complete_env(file) == [name]
    after = values_of(file)
    assert after.pop(name) != before.pop(name)
    assert after == before


def test_own_values_stay_also_without_a_newline_at_the_end(tmp_path):
    file = tmp_path / ".env"
    file.write_text("TICK_API_KEY=mine\nCOMPOSE_PROFILES=core,airflow")
    complete_env(file)
    values = values_of(file)
    assert values["TICK_API_KEY"] == "mine"
    assert values["COMPOSE_PROFILES"] == "core,airflow"
    assert set(values) == {*DEFAULTS, *SECRETS}


def test_a_commented_variable_is_missing(tmp_path):
    file = tmp_path / ".env"
    file.write_text("# TICK_API_KEY=old\n")
    assert "TICK_API_KEY" in complete_env(file)
