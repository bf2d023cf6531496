"""Audit log of a registered model: who made which version Production, and when.

Events are stored as tags of the registered model and signalled to running APIs through Redis.
"""

import contextlib
import getpass
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import redis
from mlflow import MlflowClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.clock import now_us
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.redis_keys import COMPARISON_KEY, RETIRED, model_key

TAG_PREFIX = "audit."


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `action` is promote, rollback, retire or challenge; `version` and its
    predecessor `before` may be None; `by` is user@host.
    """

    at_us: int
    action: str
    version: str | None
    before: str | None
    by: str


def record_event(
    settings: Settings,
    client: MlflowClient,
    name: str,
    action: str,
    version: str | None,
    before: str | None,
    production: str | None,
) -> Event:
    """Store the event, then signal the APIs that serve the model.

    `production` is the Production version after the change, None if there is none.
    """
    event = Event(now_us(), action, version, before, f"{_user()}@{socket.gethostname()}")
    client.set_registered_model_tag(name, f"{TAG_PREFIX}{event.at_us}", json.dumps(asdict(event)))
    signal_apis(settings, name, f"{production or RETIRED}@{event.at_us}")
    return event


def signal_apis(settings: Settings, name: str, signal: str) -> None:
    """Set the Redis key that APIs watch, and delete the last comparison with a challenger.

    Best effort: without Redis, APIs find the change when they next poll the registry.
    """
    timeout_s = settings.redis_timeout_ms / 1000
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    with (
        contextlib.suppress(redis.RedisError),
        redis.Redis(**connections.redis(settings), ssl=settings.redis_tls, **options) as client,
    ):
        client.set(model_key(name), signal)
        if name == settings.model_name:
            client.delete(COMPARISON_KEY)


def parse_events(tags: Mapping[str, str]) -> list[Event]:
    """The events among the tags of a registered model, newest first."""
    events = [Event(**json.loads(text)) for tag, text in tags.items() if tag.startswith(TAG_PREFIX)]
    return sorted(events, key=lambda event: event.at_us, reverse=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container may not have a name
        return "unknown"
