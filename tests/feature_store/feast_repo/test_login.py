"""The login in feature_store.yaml: each option where it is set, and none that is not."""

import pytest
import yaml

from contracts.errors import SettingError
from feature_store.feast_repo import objects as feast_objects

TIMEOUTS = ["socket_timeout=0.1", "socket_connect_timeout=0.1"]


def connection(settings) -> list[str]:
    """The parts of the connection string after the address."""
    written = yaml.safe_load(feast_objects.write_yaml(settings).read_text())
    return written["online_store"]["connection_string"].split(",")[1:]


def test_without_a_login_only_the_timeouts_are_set(make_settings):
    assert connection(make_settings(redis_ca="/ca.pem")) == TIMEOUTS


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"redis_user": "tick"}, ["username=tick"]),
        ({"redis_password": "p"}, ["password=${TICK_REDIS_PASSWORD}"]),
        ({"redis_password": ""}, []),
        ({"redis_tls": True}, ["ssl=true"]),
        ({"redis_tls": True, "redis_ca": "/ca.pem"}, ["ssl=true", "ssl_ca_certs=/ca.pem"]),
        (
            {"redis_user": "u", "redis_password": "p", "redis_tls": True, "redis_ca": "/c"},
            ["username=u", "password=${TICK_REDIS_PASSWORD}", "ssl=true", "ssl_ca_certs=/c"],
        ),
    ],
)
def test_each_option_is_there_when_it_is_set(make_settings, fields, options):
    assert connection(make_settings(**fields)) == TIMEOUTS + options


@pytest.mark.parametrize("password", ['"', ",", "\\", "line\nbreak"])
def test_a_refused_password_is_not_in_the_message(make_settings, password):
    with pytest.raises(SettingError) as caught:
        feast_objects.write_yaml(make_settings(redis_password=f"canary{password}"))
    assert "canary" not in str(caught.value) and "without quotation marks" in caught.value.hint


def test_the_file_is_written_again_with_the_settings_of_now(make_settings):
    settings = make_settings(redis_host="one", redis_timeout_ms=250)
    path = feast_objects.write_yaml(settings)
    assert path == settings.feast_repo / "feature_store.yaml"
    written = yaml.safe_load(path.read_text())["online_store"]
    assert written["connection_string"].startswith(f"one:{settings.redis_port},socket_timeout=0.25")
    assert written["key_ttl_seconds"] == settings.redis_ttl_s
    feast_objects.write_yaml(settings.model_copy(update={"redis_host": "two"}))
    assert "two:" in path.read_text() and "one:" not in path.read_text()
