"""Settings: bounds against harmful values, a gate that cannot be weakened, misspelt variables."""

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError

from contracts.config.groups.airflow import AirflowSettings
from contracts.config.groups.feeds import FeedSettings
from contracts.config.groups.flink import FlinkSettings
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.groups.redis import RedisSettings
from contracts.config.groups.serving import ServingSettings
from contracts.config.groups.supervision import SupervisionSettings
from contracts.config.groups.training import TrainingSettings
from contracts.config.home import HomeSettings
from contracts.config.settings import RENAMED, Settings, read_old_names, require_known, settings
from contracts.errors import SettingError

GROUPS = (
    *(AirflowSettings, FeedSettings, FlinkSettings, KafkaSettings),
    *(LakehouseSettings, RedisSettings, ServingSettings, TrainingSettings),
    SupervisionSettings,
)


@pytest.fixture(autouse=True)
def fresh():
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_every_number_has_both_bounds_and_a_default_inside():
    for name, field in Settings.model_fields.items():
        if field.annotation in (int, float):
            kinds = {type(bound) for bound in field.metadata}
            assert kinds & {Ge, Gt} and kinds & {Le, Lt}, name
            Settings(**{name: field.default})


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cost_bp", 0.99),
        ("cost_bp", "nan"),
        ("entry_delay_s", 4),
        ("embargo_share", 0.0),
        ("test_days", 6),
    ],
)
def test_gate_settings_cannot_be_made_more_lenient(name, value, monkeypatch):
    monkeypatch.setenv(f"TICK_{name.upper()}", str(value))
    with pytest.raises(ValidationError, match=name):
        settings()


def test_a_warm_up_shorter_than_the_longest_window_is_refused(monkeypatch):
    monkeypatch.setenv("TICK_WARMUP_S", "60")
    with pytest.raises(ValidationError, match="warmup_s"):
        settings()


def test_a_more_expensive_trade_is_allowed(monkeypatch):
    monkeypatch.setenv("TICK_COST_BP", "2.5")
    assert settings().cost_bp == 2.5


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"fresh_s": 301}, "stale_s"),
        ({"parallelism": 5}, "flink_slots"),
        ({"backfill_parallelism": 5}, "flink_slots"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields, word):
    with pytest.raises(SettingError, match=word):
        Settings(**fields)


def test_a_misspelt_variable_is_an_error_that_names_the_nearest(monkeypatch):
    monkeypatch.setenv("TICK_KAFKA_PROT", "7200")
    with pytest.raises(SettingError, match="TICK_KAFKA_PROT") as caught:
        settings()
    assert "did you mean TICK_KAFKA_PORT?" in caught.value.hint


def test_a_variable_like_no_setting_says_where_they_are_described():
    with pytest.raises(SettingError, match="TICK_QQQQ") as caught:
        require_known(["TICK_QQQQ"])
    assert "contracts/config/" in caught.value.hint


def test_a_misspelt_setting_is_not_taken_for_a_variable_of_the_tests():
    with pytest.raises(SettingError, match="TICK_TEST_DAY") as caught:
        require_known(["TICK_TEST_DAY"])
    assert "TICK_TEST_DAYS" in caught.value.hint


def test_settings_and_variables_of_the_tests_are_known():
    require_known([f"TICK_{name.upper()}" for name in Settings.model_fields])
    require_known(["TICK_TEST_DATA", "tick_home", "PATH", "TICKS"])


@pytest.mark.parametrize("spelt", [str.upper, str.lower])
@pytest.mark.parametrize(("old", "name"), RENAMED.items())
def test_an_old_name_works_with_a_warning(old, name, spelt, monkeypatch, caplog):
    value = "0.05" if name == "embargo_share" else "7"
    monkeypatch.setenv(spelt(f"tick_{old}"), value)
    assert getattr(settings(), name) == float(value)
    assert f"TICK_{old.upper()} is now TICK_{name.upper()}" in caplog.text


def test_an_old_name_next_to_the_present_one_is_refused(monkeypatch):
    monkeypatch.setenv("TICK_FOLDS", "7")
    monkeypatch.setenv("TICK_WALK_FORWARD_FOLDS", "8")
    with pytest.raises(
        SettingError, match="TICK_FOLDS is the old name of TICK_WALK_FORWARD_FOLDS, and they differ"
    ):
        settings()


def test_a_child_process_has_both_names_of_one_number(monkeypatch):
    monkeypatch.setenv("TICK_CLOSING_BEAT_S", "7")
    monkeypatch.setenv("TICK_FINAL_HEARTBEAT_S", "7.0")
    assert settings().final_heartbeat_s == 7.0


def test_an_old_name_is_never_the_advice():
    with pytest.raises(SettingError) as caught:
        require_known(["TICK_FOLD"])
    assert "TICK_FOLDS" not in caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {"fresh_s": 300, "stale_s": 300},
        {"parallelism": 4, "backfill_parallelism": 4, "flink_slots": 4},
        {"warehouse_uri": "s3://bucket/lake"},
        {"warehouse_uri": "main", "catalog_uri": "https://catalog"},
        {"s3_access_key": "id", "s3_secret_key": "secret"},
    ],
)
def test_settings_that_just_agree_are_taken(fields):
    Settings(**fields)


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"fresh_s": 60, "stale_s": 59.9}, "raise TICK_STALE_S or lower TICK_FRESH_S"),
        ({"parallelism": 3, "flink_slots": 2}, "raise TICK_FLINK_SLOTS"),
        ({"warehouse_uri": "lake"}, "correct TICK_WAREHOUSE_URI, or set TICK_CATALOG_URI"),
        (
            {"s3_secret_key": "secret"},
            "set or unset both TICK_S3_ACCESS_KEY and TICK_S3_SECRET_KEY",
        ),
    ],
)
def test_a_contradiction_says_what_to_change(fields, hint):
    with pytest.raises(SettingError) as caught:
        Settings(**fields)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("name", "value"), [("FRESH_S", "301"), ("S3_SECRET_KEY", "hush"), ("KAFKA_PORT", "0")]
)
def test_an_error_does_not_print_secrets(name, value, monkeypatch):
    monkeypatch.setenv("TICK_KAFKA_PASSWORD", "hush")
    monkeypatch.setenv(f"TICK_{name}", value)
    with pytest.raises((SettingError, ValidationError), match=name.lower()) as caught:
        settings()
    assert "hush" not in f"{caught.value} {caught.value!r}"


def test_every_setting_is_in_one_group_only():
    groups = [set(group.model_fields) - set(HomeSettings.model_fields) for group in GROUPS]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert set().union(*groups) | set(HomeSettings.model_fields) == set(Settings.model_fields)


def test_no_two_local_services_share_a_port():
    defaults = Settings()
    ports = [getattr(defaults, name) for name in Settings.model_fields if name.endswith("_port")]
    assert len(ports) == 7
    # Kafka's controller takes the next port; Flink's RPC and blob server the next two.
    used = {*ports, defaults.kafka_port + 1, defaults.flink_port + 1, defaults.flink_port + 2}
    assert len(used) == len(ports) + 3


def test_variables_are_read_in_any_case(monkeypatch):
    monkeypatch.setenv("tick_seed", "11")
    assert settings().seed == 11


def test_settings_are_read_once(monkeypatch):
    before = settings()
    monkeypatch.setenv("TICK_SEED", "11")
    assert settings() is before


def test_a_value_of_the_wrong_type_names_the_setting(monkeypatch):
    monkeypatch.setenv("TICK_KAFKA_PORT", "seventy")
    with pytest.raises(ValidationError, match="kafka_port"):
        settings()


def test_the_present_name_gets_no_warning(monkeypatch, caplog):
    monkeypatch.setenv("TICK_WALK_FORWARD_FOLDS", "7")
    assert settings().walk_forward_folds == 7
    assert not caplog.text


@pytest.mark.parametrize(("before", "now"), [("seven", "seven"), ("7", "seven"), ("", "7")])
def test_values_that_cannot_be_compared_as_numbers_are_refused(before, now):
    environment = {"TICK_FOLDS": before, "TICK_WALK_FORWARD_FOLDS": now}
    with pytest.raises(SettingError, match="they differ") as caught:
        read_old_names(environment)
    assert caught.value.hint == "unset TICK_FOLDS"


def test_an_old_name_has_the_limits_of_the_present_one(monkeypatch):
    monkeypatch.setenv("TICK_FOLDS", "21")
    with pytest.raises(ValidationError, match="walk_forward_folds"):
        settings()


def test_old_names_are_not_settings_but_present_names_are():
    assert not RENAMED.keys() & Settings.model_fields.keys()
    assert set(RENAMED.values()) <= Settings.model_fields.keys()


def test_the_first_unknown_variable_is_named_with_how_to_go_on():
    with pytest.raises(SettingError) as caught:
        require_known(["PATH", "TICK_HOST", "tick_hosts", "TICK_QQQQ"])
    assert caught.value.message == "unknown setting TICK_HOSTS"
    assert caught.value.hint == "did you mean TICK_HOST? (or unset TICK_HOSTS)"
