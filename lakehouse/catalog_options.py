"""Options with which Flink and PyIceberg open the same Iceberg catalog, derived from the settings.

Secrets stay wrapped until the options are handed to an engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.settings import Settings

BUSY_TIMEOUT_MS = 30_000  # Flink and Python write the same SQLite catalog
HIDDEN = "******"

Value = str | SecretStr


@dataclass(frozen=True, slots=True)
class CatalogOptions:
    """The options of PyIceberg's catalog and of Flink's `CREATE CATALOG`.

    Both name the same catalog, warehouse and object store.
    """

    pyiceberg: Mapping[str, Value]
    flink: Mapping[str, Value]


def render(settings: LakehouseSettings) -> CatalogOptions:
    """The options of both engines. Pure: nothing is opened, and secrets stay wrapped."""
    catalog_python, catalog_flink = _rest(settings) if settings.catalog_uri else _sqlite(settings)
    store_python, store_flink = _object_store(settings)
    return CatalogOptions(
        _without_none(catalog_python | store_python),
        _without_none({"type": "iceberg"} | catalog_flink | store_flink),
    )


def _sqlite(settings: LakehouseSettings) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
    warehouse = settings.warehouse_uri or f"file://{settings.warehouse}"
    python = {
        "uri": f"sqlite:///{settings.catalog_file}?timeout={BUSY_TIMEOUT_MS // 1000}",
        "warehouse": warehouse,
    }
    flink = {
        "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "uri": f"jdbc:sqlite:{settings.catalog_file}?busy_timeout={BUSY_TIMEOUT_MS}",
        "warehouse": warehouse,
        "jdbc.schema-version": "V1",
        "clients": "1",
    }
    return dict(python), dict(flink)


def _rest(settings: LakehouseSettings) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
    """Without a warehouse the server uses its default.

    `credential` is `client:secret` for OAuth2, `token` a bearer token.
    """
    shared: dict[str, Value | None] = {
        "uri": settings.catalog_uri,
        "warehouse": settings.warehouse_uri,
        "token": settings.catalog_token,
        "credential": settings.catalog_credential,
    }
    return shared, {"catalog-type": "rest"} | shared


def _object_store(
    settings: LakehouseSettings,
) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
    """S3 options of both engines; none for a local folder.

    What the settings leave open comes from the engine's own sources (environment, profile, role).
    """
    if not _uses_s3(settings):
        return {}, {}
    keys: dict[str, Value | None] = {
        "s3.endpoint": settings.s3_endpoint,
        "s3.access-key-id": settings.s3_access_key,
        "s3.secret-access-key": settings.s3_secret_key,
    }
    # Other stores (MinIO, SeaweedFS) have no host name per bucket. PyIceberg then uses path style
    # without being told.
    path_style = "true" if settings.s3_endpoint else None
    flink: dict[str, Value | None] = {
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "client.region": settings.s3_region,
        "s3.path-style-access": path_style,
    }
    return keys | {"s3.region": settings.s3_region}, keys | flink


def _uses_s3(settings: LakehouseSettings) -> bool:
    """An S3 warehouse, or an endpoint for one that the REST catalog names."""
    return bool(settings.s3_endpoint) or (settings.warehouse_uri or "").startswith("s3://")


def _without_none(options: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in options.items() if value is not None}


def reveal(options: Mapping[str, Value]) -> dict[str, str]:
    """Options with their secrets in plain text: for the engine only, never for a log."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in options.items()
    }


def mask_secrets(settings: Settings, text: str) -> str:
    """The text without the secrets of the catalog and of Kafka: engines repeat their options in
    errors.
    """
    options = (*render(settings).flink.values(), settings.kafka_password)
    secrets = (value.get_secret_value() for value in options if isinstance(value, SecretStr))
    for secret in filter(None, secrets):
        text = text.replace(secret, HIDDEN).replace(literal(secret)[1:-1], HIDDEN)
    return text


def create_statement(name: str, options: Mapping[str, str]) -> str:
    """Flink's `CREATE CATALOG`. With revealed options it holds secrets: pass it only to Flink."""
    return f"CREATE CATALOG {name} WITH ({format_options(options)})"


def format_options(options: Mapping[str, str]) -> str:
    """Options in the form of Flink's WITH (…)."""
    return ", ".join(f"{literal(key)}={literal(value)}" for key, value in options.items())


def literal(text: str) -> str:
    """Text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
