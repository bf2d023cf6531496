"""Airflow's settings: limits, and the forms of its addresses."""

import pytest

from contracts.config.groups.airflow import AirflowSettings
from tests.contracts.config.groups import limits

LIMITS = {
    "postgres_port": (1, 65_535),
    "airflow_port": (1, 65_535),
    "airflow_parallelism": (1, 64),
    "airflow_retry_s_max": (1, 86_400),
    "airflow_keep_days": (1, 3650),
}


def test_every_number_is_in_the_table():
    assert limits.numbers(AirflowSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(AirflowSettings, name, *LIMITS[name])


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("airflow_statsd", "127.0.0.1:9125", True),
        ("airflow_statsd", "127.0.0.1", False),
        ("airflow_statsd", "udp://127.0.0.1:9125", False),
        ("airflow_otel", "http://collector:4318", True),
        ("airflow_otel", "collector:4318", False),
        ("airflow_host", "", False),
    ],
)
def test_an_address_has_the_form_that_airflow_expects(name, value, accepted):
    assert limits.accepts(AirflowSettings, name, value) is accepted


def test_a_model_needs_no_approval_unless_asked_for():
    assert AirflowSettings().airflow_approval is False


def test_the_password_of_the_database_is_not_in_the_text_of_the_settings():
    settings = AirflowSettings(airflow_database="postgresql://tick:hush@db:5432/airflow")
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()}"
