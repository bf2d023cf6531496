"""Redis keys: distinct, below one prefix, and never those of Feast."""

from contracts import redis_keys
from contracts.redis_keys import model_key
from feature_store.online import redis_layout

KEYS = [value for name, value in vars(redis_keys).items() if name.endswith("_KEY")]


def test_keys_are_distinct_and_below_one_prefix():
    assert len(KEYS) == len(set(KEYS)) == 6
    assert all(key.startswith("tick:") for key in KEYS)


def test_each_model_has_its_own_key():
    keys = [model_key(name) for name in ("tick-model", "power-consumption-model", "a:b")]
    assert keys == ["tick:model:tick-model", "tick:model:power-consumption-model", "tick:model:a:b"]
    assert not set(keys) & set(KEYS)


def test_no_model_has_the_key_of_a_result():
    prefix = model_key("")
    assert not any(key.startswith(prefix) for key in KEYS)


def test_a_key_of_the_online_store_is_none_of_them():
    assert not redis_layout.entity_key("V:A").startswith(b"tick:")
