"""Telling the API, through Redis, what a command found out; without Redis nobody is told, and the command goes on."""

import redis
import structlog

from contracts.settings import Settings
from feature_store.online_table import connect

log = structlog.get_logger("feature_store")


def tell(settings: Settings, key: str, text: bytes) -> None:
    """Put `text` under a key of `contracts.notices`."""
    try:
        with connect(settings) as client:
            client.set(key, text)
    except redis.RedisError as error:
        log.debug("nobody was told", key=key, reason=str(error))
