"""The options of both engines for every kind of catalog: consistent, no visible secrets."""

import json
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import pytest
from pydantic import SecretStr, ValidationError

from contracts.config.settings import Settings
from contracts.errors import DatasetError, SettingError
from lakehouse import catalog_options, tables
from lakehouse.tables import Lakehouse
from tests.support.loopback import serving

SECRETS = ("key-of-s3", "it's-secret", "bearer-of-rest")


@pytest.fixture
def remote(tmp_path):
    """A REST catalog and an S3 bucket."""
    return Settings(
        home=tmp_path,
        catalog_uri="http://catalog:8181/api",
        catalog_token=SecretStr(SECRETS[2]),
        warehouse_uri="s3://bucket/lake",
        s3_endpoint="http://store:9000",
        s3_region="eu-west-1",
        s3_access_key=SecretStr(SECRETS[0]),
        s3_secret_key=SecretStr(SECRETS[1]),
    )


def test_the_default_is_sqlite_and_a_folder_for_both(tmp_path):
    settings, home = Settings(home=tmp_path), tmp_path.resolve()
    rendered = catalog_options.render(settings)
    assert dict(rendered.pyiceberg) == {
        "uri": f"sqlite:///{home}/lakehouse/catalog.db?timeout=30",
        "warehouse": f"file://{home}/lakehouse/warehouse",
    }
    assert (
        Lakehouse(settings).flink_catalog() == "CREATE CATALOG lakehouse WITH ('type'='iceberg',"
        " 'catalog-impl'='org.apache.iceberg.jdbc.JdbcCatalog',"
        f" 'uri'='jdbc:sqlite:{home}/lakehouse/catalog.db?busy_timeout=30000',"
        f" 'warehouse'='file://{home}/lakehouse/warehouse', 'jdbc.schema-version'='V1',"
        " 'clients'='1')"
    )


def test_a_rest_catalog_on_s3_for_both(remote):
    rendered = catalog_options.render(remote)
    assert catalog_options.reveal(rendered.pyiceberg) == {
        "uri": "http://catalog:8181/api",
        "warehouse": "s3://bucket/lake",
        "token": "bearer-of-rest",
        "s3.endpoint": "http://store:9000",
        "s3.access-key-id": "key-of-s3",
        "s3.secret-access-key": "it's-secret",
        "s3.region": "eu-west-1",
    }
    assert catalog_options.reveal(rendered.flink) == {
        "type": "iceberg",
        "catalog-type": "rest",
        "uri": "http://catalog:8181/api",
        "warehouse": "s3://bucket/lake",
        "token": "bearer-of-rest",
        "s3.endpoint": "http://store:9000",
        "s3.access-key-id": "key-of-s3",
        "s3.secret-access-key": "it's-secret",
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "client.region": "eu-west-1",
        "s3.path-style-access": "true",
    }
    assert "'s3.secret-access-key'='it''s-secret'" in Lakehouse(remote).flink_catalog()


def test_sqlite_may_stand_next_to_a_bucket(tmp_path):
    rendered = catalog_options.render(Settings(home=tmp_path, warehouse_uri="s3://bucket/lake"))
    assert rendered.pyiceberg["warehouse"] == rendered.flink["warehouse"] == "s3://bucket/lake"
    assert str(rendered.pyiceberg["uri"]).startswith("sqlite:")
    assert "s3.endpoint" not in rendered.flink and rendered.flink["io-impl"]


def test_a_rest_catalog_without_a_warehouse_takes_the_servers_own(tmp_path):
    rendered = catalog_options.render(
        Settings(
            home=tmp_path, catalog_uri="https://catalog", catalog_credential=SecretStr("id:secret")
        )
    )
    assert dict(rendered.flink) == {
        "type": "iceberg",
        "catalog-type": "rest",
        "uri": "https://catalog",
        "credential": SecretStr("id:secret"),
    }


def test_no_secret_shows_itself(remote):
    rendered = catalog_options.render(remote)
    shown = f"{remote!r} {rendered!r}"
    assert not any(secret in shown for secret in SECRETS)
    text = catalog_options.mask_secrets(
        remote, f"Caused by: cannot run {Lakehouse(remote).flink_catalog()}"
    )
    assert not any(secret in text or secret.replace("'", "''") in text for secret in SECRETS)
    assert "'warehouse'='s3://bucket/lake'" in text


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"warehouse_uri": "/srv/lake"}, "s3://"),
        ({"s3_access_key": "half"}, "must be set together"),
        ({"catalog_uri": "jdbc:postgresql://x"}, "catalog_uri"),
        ({"catalog_uri": "http://user:password@catalog"}, "catalog_uri"),
    ],
)
def test_what_cannot_work_is_refused_at_once(tmp_path, fields, why):
    with pytest.raises((SettingError, ValidationError), match=why):
        Settings(home=tmp_path, **fields)


class Config(BaseHTTPRequestHandler):
    """The first request to a REST catalog."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        body = json.dumps({"defaults": {}, "overrides": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Do not log."""


def test_the_rest_catalog_is_asked_with_token_and_warehouse_and_leaves_no_file(tmp_path):
    with serving(Config) as port:
        settings = Settings(
            home=tmp_path / "home",
            catalog_uri=f"http://127.0.0.1:{port}",
            catalog_token=SecretStr("t"),
            warehouse_uri="s3://b/w",
        )
        with closing(Lakehouse(settings).catalog) as catalog:
            assert catalog.name == tables.CATALOG
    assert Config.asked == [("/v1/config?warehouse=s3%3A%2F%2Fb%2Fw", "Bearer t")]
    assert not settings.root.exists()


def test_a_catalog_that_is_away_is_a_clear_error(tmp_path):
    settings = Settings(
        home=tmp_path, catalog_uri="http://127.0.0.1:9", catalog_token=SecretStr("hush")
    )
    with pytest.raises(DatasetError, match="does not answer") as caught:
        assert Lakehouse(settings).catalog
    assert "hush" not in str(caught.value)
