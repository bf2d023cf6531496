"""The generated Feast repository matches the contracts, and applying it twice is harmless."""

import pytest
import yaml
from feast.types import Float64, Int64

from contracts.errors import SettingError
from contracts.features import CORE, columns
from contracts.windows import LEVELS
from feature_store.feast_repo import objects as feast_objects
from feature_store.online import redis_layout


@pytest.fixture(scope="module")
def applied(store_settings):
    return feast_objects.apply(store_settings)


def test_apply_is_idempotent(store_settings, applied):
    registry = store_settings.feast_repo / "registry.db"
    before = feast_objects.store(store_settings).list_feature_views()
    assert (
        feast_objects.apply(store_settings)
        == applied
        == [
            "symbol",
            *(level.view for level in LEVELS),
            feast_objects.DAILY_VIEW,
            feast_objects.SERVICE,
        ]
    )
    assert feast_objects.store(store_settings).list_feature_views() == before
    assert registry.exists()


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_a_view_has_the_columns_of_its_level(store_settings, applied, level):
    view = feast_objects.store(store_settings).get_feature_view(level.view)
    expected = [(column.name, Float64) for column in columns(level)] + [
        (name, Int64) for name in redis_layout.METADATA_NAMES
    ]
    assert [(field.name, field.dtype) for field in view.features] == expected
    assert view.ttl.total_seconds() == store_settings.redis_ttl_s
    assert view.join_keys == [redis_layout.ENTITY]
    assert view.batch_source.path == str(feast_objects.offline_file(store_settings, level.view))


def test_the_service_serves_the_core_set_in_its_order(store_settings, applied):
    service = feast_objects.store(store_settings).get_feature_service(feast_objects.SERVICE)
    served = [
        feature.name
        for projection in service.feature_view_projections
        for feature in projection.features
    ]
    assert served == list(CORE)


def test_the_yaml_sets_the_time_outs_feast_lacks(store_settings, applied):
    written = yaml.safe_load((store_settings.feast_repo / "feature_store.yaml").read_text())
    assert written["project"] == redis_layout.PROJECT
    assert written["entity_key_serialization_version"] == 3
    assert (
        "socket_timeout=0.1,socket_connect_timeout=0.1"
        in written["online_store"]["connection_string"]
    )


def test_feast_gives_up_on_a_stalled_redis(store_settings, applied, redis_server, client):
    import redis

    store = feast_objects.store(store_settings)
    redis_server.stall()
    try:
        with pytest.raises(redis.TimeoutError):
            store.get_online_features(["tick_1s:volume_1m"], [{"symbol": "A:B"}])
    finally:
        redis_server.resume()


@pytest.mark.parametrize("password", ['with "quotes"', "a,b", "a\\b"])
def test_a_password_that_feast_cannot_read_is_refused_by_name(make_settings, password):
    with pytest.raises(SettingError, match="TICK_REDIS_PASSWORD"):
        feast_objects.write_yaml(make_settings(redis_password=password))


def test_a_password_is_never_in_the_file(make_settings):
    text = feast_objects.write_yaml(
        make_settings(redis_password="canary", redis_user="tick", redis_tls=True)
    ).read_text()
    assert (
        "canary" not in text
        and "password=${TICK_REDIS_PASSWORD}" in text
        and "username=tick" in text
        and "ssl=true" in text
    )
