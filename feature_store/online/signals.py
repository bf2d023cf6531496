"""Publishes results of commands to the API, through Redis. Without Redis the command goes on."""

import contextlib

import redis

from contracts.config.groups.redis import RedisSettings
from feature_store.online.store import connect


def publish(settings: RedisSettings, key: str, text: bytes) -> None:
    """Set one of the signals in `contracts.redis_keys` to `text`. A Redis error is ignored."""
    with contextlib.suppress(redis.RedisError), connect(settings) as client:
        client.set(key, text)
