"""How both engines open the one Iceberg catalog: their options rendered from the settings, secrets
kept apart until the last moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from contracts.config.settings import Settings

BUSY_TIMEOUT_MS = 30_000  # Flink and Python write the same SQLite catalog
HIDDEN = "******"

Value = str | SecretStr


@dataclass(frozen=True, slots=True)
class Rendered:
    """Options of PyIceberg's catalog and of Flink's `CREATE CATALOG`: the same catalog, warehouse
    and object store.
    """

    pyiceberg: Mapping[str, Value]
    flink: Mapping[str, Value]


def render(settings: Settings) -> Rendered:
    """The options of both engines. Pure: nothing is opened, and every secret still hides itself."""
    catalog_python, catalog_flink = _rest(settings) if settings.catalog_uri else _sqlite(settings)
    store_python, store_flink = _object_store(settings)
    return Rendered(
        _given(catalog_python | store_python),
        _given({"type": "iceberg"} | catalog_flink | store_flink),
    )


def _sqlite(settings: Settings) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
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


def _rest(settings: Settings) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
    """Without a warehouse the server takes its own. `credential` is `client:secret` of OAuth2,
    `token` a bearer token.
    """
    shared: dict[str, Value | None] = {
        "uri": settings.catalog_uri,
        "warehouse": settings.warehouse_uri,
        "token": settings.catalog_token,
        "credential": settings.catalog_credential,
    }
    return shared, {"catalog-type": "rest"} | shared


def _object_store(settings: Settings) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
    """S3 for both; what is not given comes from the engine's own sources (environment, profile,
    role). Nothing for a local folder.
    """
    if not (settings.warehouse_uri or "").startswith("s3://") and settings.s3_endpoint is None:
        return {}, {}
    keys: dict[str, Value | None] = {
        "s3.endpoint": settings.s3_endpoint,
        "s3.access-key-id": settings.s3_access_key,
        "s3.secret-access-key": settings.s3_secret_key,
    }
    # an endpoint of one's own (MinIO, SeaweedFS) has no host name per bucket; PyIceberg takes path
    # style then by itself
    path_style = "true" if settings.s3_endpoint else None
    flink: dict[str, Value | None] = {
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "client.region": settings.s3_region,
        "s3.path-style-access": path_style,
    }
    return keys | {"s3.region": settings.s3_region}, keys | flink


def _given(options: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in options.items() if value is not None}


def revealed(options: Mapping[str, Value]) -> dict[str, str]:
    """Options with their secrets in plain text: for the engine's ears only, never for a log."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in options.items()
    }


def hidden(options: Mapping[str, Value]) -> dict[str, str]:
    """Options as a person may see them."""
    return {
        name: HIDDEN if isinstance(value, SecretStr) else value for name, value in options.items()
    }


def masked(settings: Settings, text: str) -> str:
    """The text without any secret of the catalog or of Kafka: engines repeat their options when
    they fail.
    """
    for value in (*render(settings).flink.values(), settings.kafka_password):
        if isinstance(value, SecretStr) and value.get_secret_value():
            text = text.replace(value.get_secret_value(), HIDDEN).replace(
                literal(value.get_secret_value())[1:-1], HIDDEN
            )
    return text


def create_statement(name: str, options: Mapping[str, str]) -> str:
    """Flink's `CREATE CATALOG`. With revealed options it holds secrets: give it to Flink and to
    nobody else.
    """
    return f"CREATE CATALOG {name} WITH ({listed(options)})"


def listed(options: Mapping[str, str]) -> str:
    """Options as they stand between the brackets of Flink's WITH (…)."""
    return ", ".join(f"{literal(key)}={literal(value)}" for key, value in options.items())


def literal(text: str) -> str:
    """Text as SQL."""
    return "'" + text.replace("'", "''") + "'"
