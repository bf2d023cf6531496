"""A separate Kafka: these tests count all messages of a topic, so no other test may write to it."""

import pytest

from tests.conftest import settings_in
from tests.streaming.broker import running_broker, settings_of


@pytest.fixture(scope="package")
def kafka(tmp_path_factory):
    """Settings of a running Kafka with the project's topics, stopped at the end."""
    from stack import platform

    settings = settings_in(
        tmp_path_factory.mktemp("kafka"), position_interval_s=0.1, final_heartbeat_s=0.5
    )
    try:
        platform.up(settings, ("kafka",))
        yield settings
    finally:
        platform.down(settings)


@pytest.fixture
def broker(tmp_path):
    """Settings of an empty in-process Kafka with the topics of ticks and dead letters."""
    with running_broker() as address:
        yield settings_of(address, tmp_path / "home")


@pytest.fixture
def fresh_broker(tmp_path):
    """Another one, to compare what two runs send."""
    with running_broker() as address:
        yield settings_of(address, tmp_path / "other")
