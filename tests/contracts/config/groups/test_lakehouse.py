"""Settings of the lakehouse: limits, where the tables are stored, no secret in an address."""

import pytest

from contracts.config.groups.lakehouse import LakehouseSettings
from tests.contracts.config.groups import limits

LIMITS = {
    "orphan_age_s": (3600, 31_536_000),
    "snapshot_keep_h": (0.1, 8760),
    "snapshots_min": (1, 1000),
    "snapshots_max": (10, 100_000),
    "metadata_versions_max": (1, 1000),
    "training_pin_days": (1, 36_500),
    "compact_files_max": (2, 100_000),
    "compact_group_mb": (1, 4096),
    "compact_quiet_s": (0, 31_536_000),
    "maintenance_interval_s": (1, 604_800),
    "lease_s": (1, 3600),
    "lease_wait_s": (1, 86_400),
    "sql_memory_mb": (256, 1_048_576),
    "read_rows_max": (1000, 10_000_000_000),
    "load_commit_rows": (1, 100_000_000),
}
SECRETS = ("catalog_token", "catalog_credential", "s3_access_key", "s3_secret_key")


def test_every_number_is_in_the_table():
    assert limits.numbers(LakehouseSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(LakehouseSettings, name, *LIMITS[name])


def test_the_default_is_a_catalog_and_a_folder_below_home(tmp_path):
    settings = LakehouseSettings(home=tmp_path)
    assert settings.catalog_file == tmp_path.resolve() / "lakehouse" / "catalog.db"
    assert settings.warehouse == tmp_path.resolve() / "lakehouse" / "warehouse"
    assert not settings.in_object_store


@pytest.mark.parametrize("name", ["catalog_uri", "warehouse_uri"])
def test_a_catalog_or_a_warehouse_of_ones_own_is_not_below_home(name):
    assert LakehouseSettings(**{name: "https://catalog"}).in_object_store


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("catalog_uri", "https://user:password@catalog"),
        ("catalog_uri", "thrift://catalog"),
        ("warehouse_uri", ""),
        ("s3_endpoint", "store:9000"),
        ("s3_region", ""),
    ],
)
def test_an_address_that_no_client_can_use_is_refused(name, value):
    assert not limits.accepts(LakehouseSettings, name, value)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_not_in_the_text_of_the_settings(name):
    settings = LakehouseSettings(**{name: "hush"})
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()}"
