"""The API key: generated once, readable by its owner only; a key in the settings has priority."""

import stat

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
