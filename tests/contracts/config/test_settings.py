"""Settings: bounds against harmful values, a gate that cannot be weakened, misspelt variables."""

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError

from contracts.config.settings import RENAMED, Settings, require_known, settings
from contracts.errors import SettingError


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
    with pytest.raises(ValidationError, match=word):
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
