"""Audit events: parsed newest first, attributed to a user, and stored even without Redis."""

import getpass
import json
import socket

import pytest

from contracts.config.settings import Settings
from models import audit


class FakeMlflowClient:
    """Stores the tags that `record_event` sets."""

    def __init__(self):
        self.tags = {}

    def set_registered_model_tag(self, name, tag, value):
        self.tags[tag] = value


@pytest.fixture
def settings(tmp_path):
    """No Redis listens on port 1."""
    return Settings(home=tmp_path, redis_port=1, redis_timeout_ms=100)


def test_an_event_is_stored_without_redis_and_names_its_user(settings):
    client = FakeMlflowClient()
    event = audit.record_event(settings, client, "m", "promote", "2", "1", "2")
    assert audit.parse_events(client.tags) == [event]
    assert (event.action, event.version, event.before) == ("promote", "2", "1")
    assert event.by == f"{getpass.getuser()}@{socket.gethostname()}"


def test_a_user_without_a_name_is_unknown(settings, monkeypatch):
    def fail():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(audit.getpass, "getuser", fail)
    event = audit.record_event(settings, FakeMlflowClient(), "m", "retire", None, "1", None)
    assert event.by.startswith("unknown@")


def test_events_are_sorted_and_other_tags_ignored():
    def tag(at_us):
        event = {"at_us": at_us, "action": "promote", "version": "1", "before": None, "by": "a@b"}
        return f"{audit.TAG_PREFIX}{at_us}", json.dumps(event)

    tags = dict([tag(5), tag(30), tag(7)]) | {"owner": "x", "auditor": "y"}
    assert [event.at_us for event in audit.parse_events(tags)] == [30, 7, 5]
