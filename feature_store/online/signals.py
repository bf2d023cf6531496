"""Telling the API, through Redis, what a command found out; without Redis nobody is told, and the
command goes on.
"""

import contextlib

import redis

from contracts.config.settings import Settings
from feature_store.online.store import connect


def tell(settings: Settings, key: str, text: bytes) -> None:
    """Put `text` under a key of `contracts.notices`."""
    with contextlib.suppress(redis.RedisError), connect(settings) as client:
        client.set(key, text)
