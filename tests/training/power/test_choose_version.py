"""Which version forecasts a day: Production, unless it was trained on that day or later ones."""

from types import SimpleNamespace

import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import RegistryError
from models.versions import ModelVersion
from training.power import forecast, steps
from training.power.forecast import choose_version

T0 = 1_483_228_800_000_000  # 2017-01-01


def version(number, through_day, production=False, gate_pass="true"):
    tags = {"gate_pass": gate_pass}
    if through_day is not None:
        tags[steps.THROUGH] = str(T0 + through_day * DAY_US)
    return ModelVersion("power", str(number), "", production, 0, "", "", tags)


@pytest.fixture
def choose(monkeypatch):
    """`choose_version` for a day number, with these versions in the registry."""

    def choose(day, *versions):
        production = next((each for each in versions if each.production), None)
        registry = SimpleNamespace(
            production_version=lambda: production, list_versions=lambda: list(versions)
        )
        monkeypatch.setattr(forecast, "Registry", lambda *_: registry)
        settings = Settings(power_model_name="power")
        return choose_version(settings, "total", T0 + day * DAY_US).version

    return choose


def test_production_forecasts_the_days_after_its_data(choose):
    newer_challenger = version(2, 9)
    assert choose(10, version(1, 10, production=True), newer_challenger) == "1"
    assert choose(15, version(1, 10, production=True), newer_challenger) == "1"


def test_an_earlier_day_is_forecast_by_the_version_with_the_latest_data_before_it(choose):
    versions = [version(4, 20, production=True), version(3, 8), version(2, 9), version(1, 10)]
    assert choose(10, *versions) == "1"
    assert choose(9, *versions) == "2"
    assert choose(8, *versions) == "3"


def test_of_versions_with_equal_data_the_newest_one_is_chosen(choose):
    versions = [version(11, 20, production=True), version(10, 8), version(9, 8)]
    assert choose(10, *versions) == "10"


def test_a_version_that_was_refused_or_has_no_tag_is_never_chosen(choose):
    versions = [version(4, 20, production=True), version(3, 9, gate_pass="false")]
    with pytest.raises(RegistryError, match="no version that was made before 2017-01-11"):
        choose(10, *versions, version(2, None))
    assert choose(10, *versions, version(2, None), version(1, 3)) == "1"


def test_without_production_the_error_names_the_command(choose):
    with pytest.raises(RegistryError, match="power has no Production version") as error:
        choose(10, version(1, 3))
    assert error.value.hint == "run `tick train power --series total`"


@pytest.mark.parametrize(
    ("series", "name"), [("total", "power"), ("zone1", "power-zone1"), ("zone3", "power-zone3")]
)
def test_a_zone_has_its_own_registered_model(series, name):
    assert steps.model_name(Settings(power_model_name="power"), series) == name
