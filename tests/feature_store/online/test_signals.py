"""Signals to the API: best effort, so that a command works without Redis."""

import time

from pydantic import SecretStr

from contracts import redis_keys
from feature_store.online import signals


def test_a_signal_is_set(client, store_settings):
    key = redis_keys.model_key("tick")
    signals.publish(store_settings, key, b"3@17")
    signals.publish(store_settings, key, b"none@18")
    assert client.get(key) == b"none@18"


def test_it_does_not_expire(client, store_settings):
    signals.publish(store_settings, redis_keys.PARITY_KEY, b"{}")
    assert client.ttl(redis_keys.PARITY_KEY) == -1


def test_without_redis_the_command_goes_on(store_settings):
    signals.publish(store_settings.model_copy(update={"redis_port": 1}), "tick:x", b"1")


def test_a_wrong_password_does_not_end_the_command(client, store_settings):
    wrong = store_settings.model_copy(update={"redis_password": SecretStr("no")})
    signals.publish(wrong, "tick:x", b"1")
    assert client.get("tick:x") is None


def test_no_connection_is_left_open(client, store_settings):
    before = len(client.client_list())
    signals.publish(store_settings, "tick:x", b"1")
    deadline = time.monotonic() + 30  # the server notices a closed connection a moment later
    while len(client.client_list()) > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
