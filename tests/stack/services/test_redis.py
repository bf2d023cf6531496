"""Redis alone: the server reports our configuration; a symbol's hash is not a packed list."""

import pytest

from stack import platform
from stack.services import redis

pytestmark = pytest.mark.integration


@pytest.fixture
def client(free_settings):
    try:
        platform.start(free_settings, "redis")
        with redis.client(free_settings) as client:
            yield client
    finally:
        platform.down(free_settings)


def test_the_server_is_as_configured(client, free_settings):
    assert client.config_get("maxmemory")["maxmemory"] == str(free_settings.redis_memory_mb * 2**20)
    assert client.config_get("appendfsync")["appendfsync"] == "everysec"
    assert client.config_get("hash-max-ziplist-entries")["hash-max-ziplist-entries"] == str(
        redis.PACKED_FIELDS_MAX
    )


def test_a_hash_with_the_fields_of_a_symbol_is_a_hash_table(client):
    client.hset(
        "symbol", mapping={str(number): b"x" * 9 for number in range(redis.PACKED_FIELDS_MAX + 1)}
    )
    assert client.object("encoding", "symbol") == b"hashtable"
