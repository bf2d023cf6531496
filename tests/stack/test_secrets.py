"""The API key: generated once, readable by its owner only; a key in the settings has priority."""

import base64
import json
import stat
from dataclasses import asdict

import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from stack import secrets


def test_a_key_is_generated_once_and_kept(free_settings):
    secrets.ensure_api_key(free_settings)
    key = secrets.api_key(free_settings)
    secrets.ensure_api_key(free_settings)
    assert secrets.api_key(free_settings) == key
    assert len(key) >= 43  # 32 random bytes


def test_only_the_owner_reads_it(free_settings):
    secrets.ensure_api_key(free_settings)
    assert stat.S_IMODE(paths.secrets_file(free_settings).stat().st_mode) == 0o600


def test_a_key_in_the_settings_has_priority(make_settings):
    settings = make_settings(api_key="given")
    secrets.ensure_api_key(settings)
    assert secrets.api_key(settings) == "given"
    assert not paths.secrets_file(settings).exists()


@pytest.mark.parametrize("text", [None, "", "OTHER=1\n", "TICK_API_KEY=\n"])
def test_a_missing_key_names_the_command(free_settings, text):
    if text is not None:
        free_settings.root.mkdir()
        paths.secrets_file(free_settings).write_text(text)
    with pytest.raises(ServiceError, match="no API key") as caught:
        secrets.api_key(free_settings)
    assert "tick up" in caught.value.hint


def test_two_platforms_have_two_keys(make_settings, tmp_path):
    one, two = make_settings(home=tmp_path / "one"), make_settings(home=tmp_path / "two")
    secrets.ensure_api_key(one)
    secrets.ensure_api_key(two)
    assert secrets.api_key(one) != secrets.api_key(two)


def test_airflow_secrets_are_generated_once_and_private(free_settings):
    generated = secrets.airflow_secrets(free_settings)
    assert secrets.airflow_secrets(free_settings) == generated
    file = paths.airflow_home(free_settings) / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(set(asdict(generated).values())) == len(asdict(generated))


def test_the_fernet_key_is_one_that_fernet_accepts(free_settings):
    key = secrets.airflow_secrets(free_settings).fernet_key
    assert len(base64.urlsafe_b64decode(key)) == 32


def test_a_part_that_was_deleted_is_generated_again(free_settings):
    """A file of an older version lacks a part: the others stay."""
    before = asdict(secrets.airflow_secrets(free_settings))
    file = paths.airflow_home(free_settings) / "secrets.json"
    file.write_text(json.dumps({name: before[name] for name in before if name != "postgres"}))
    after = asdict(secrets.airflow_secrets(free_settings))
    assert asdict(secrets.airflow_secrets(free_settings)) == after
    assert after.pop("postgres") not in {"", before.pop("postgres")}
    assert after == before


def test_a_private_file_replaces_a_public_one(tmp_path):
    file = tmp_path / "new" / "secret"
    secrets.write_private(file, "first")
    file.chmod(0o644)
    secrets.write_private(file, "second")
    assert file.read_text() == "second"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["secret"]


def test_the_key_of_the_file_is_read_among_other_lines(free_settings):
    free_settings.root.mkdir()
    paths.secrets_file(free_settings).write_text("# comment\nOTHER=1\nTICK_API_KEY=a=b\nLAST=2\n")
    assert secrets.find_api_key(free_settings) == "a=b"


def test_settings_never_show_the_key(make_settings):
    settings = make_settings(api_key="hidden-value")
    assert "hidden-value" not in f"{settings!r} {settings}"
