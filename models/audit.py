"""Who made which version Production, and when: kept as tags of the registered model, told to
running APIs through Redis.
"""

import contextlib
import getpass
import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

import redis
from mlflow import MlflowClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.clock import now_us
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.redis_keys import DUEL_KEY, RETIRED, model_key

TAG = "audit."


@dataclass(frozen=True, slots=True)
class Event:
    """One change of Production: `action` is promote, rollback, retire or challenge; `before` and
    `version` are None for none.
    """

    at_us: int
    action: str
    version: str | None
    before: str | None
    by: str


def note(
    settings: Settings,
    registry: MlflowClient,
    name: str,
    action: str,
    version: str | None,
    before: str | None,
    notice: str | None = None,
) -> Event:
    """Write the event down, then tell whoever serves the model; `notice` is the Production version
    where that is not `version`.
    """
    event = Event(now_us(), action, version, before, f"{_user()}@{socket.gethostname()}")
    registry.set_registered_model_tag(name, f"{TAG}{event.at_us}", json.dumps(asdict(event)))
    tell(settings, name, f"{version or notice or RETIRED}@{event.at_us}")
    return event


def tell(settings: Settings, name: str, notice: str) -> None:
    """Set the notice that APIs look at (without Redis they find out when they next ask); the last
    comparison was of others: forget it.
    """
    timeout_s = settings.redis_timeout_ms / 1000
    limits: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    with (
        contextlib.suppress(redis.RedisError),
        redis.Redis(**connections.redis(settings), ssl=settings.redis_tls, **limits) as client,
    ):
        client.set(model_key(name), notice)
        if name == settings.model_name:
            client.delete(DUEL_KEY)


def events(tags: dict[str, str]) -> list[Event]:
    """The events among the tags of a registered model, newest first."""
    found = [Event(**json.loads(text)) for name, text in tags.items() if name.startswith(TAG)]
    return sorted(found, key=lambda event: event.at_us, reverse=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unknown"
