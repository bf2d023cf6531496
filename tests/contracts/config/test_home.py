"""Where state is stored: one absolute folder for every process, however it is written."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.config.home import HomeSettings


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("start_timeout_s", 1, 3600),
        ("stop_timeout_s", 0, 600),
        ("download_timeout_s", 1, 3600),
        ("download_bytes_max", 1024, 2**40),
    ],
)
def test_a_number_is_refused_beyond_its_limits(name, low, high):
    for value in (low, high):
        assert getattr(HomeSettings(**{name: value}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ValidationError, match=name):
            HomeSettings(**{name: value})


def test_a_relative_home_is_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert HomeSettings(home=Path("state")).root == tmp_path.resolve() / "state"
    assert HomeSettings().root == tmp_path.resolve() / ".tick"


def test_a_tilde_is_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert HomeSettings(home=Path("~/tick")).root == tmp_path.resolve() / "tick"


def test_a_link_and_its_target_are_one_home(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    link, target = (HomeSettings(home=tmp_path / name).root for name in ("link", "target"))
    assert link == target


def test_the_feast_repository_is_below_home(tmp_path):
    assert HomeSettings(home=tmp_path).feast_repo == tmp_path.resolve() / "feast"


def test_settings_cannot_be_changed_after_they_were_read():
    settings = HomeSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.host = "0.0.0.0"


def test_an_unknown_setting_in_code_is_an_error():
    with pytest.raises(ValidationError, match="hoem"):
        HomeSettings(hoem="/srv")


def test_the_environment_is_read_with_the_prefix_only(monkeypatch):
    monkeypatch.setenv("HOST", "10.0.0.1")
    assert HomeSettings().host == "127.0.0.1"
    monkeypatch.setenv("TICK_HOST", "10.0.0.2")
    assert HomeSettings().host == "10.0.0.2"
