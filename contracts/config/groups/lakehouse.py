"""The Iceberg catalog and its warehouse, SQL queries, bulk loads."""

from pathlib import Path

from pydantic import Field, SecretStr

from contracts.config.home import HomeSettings


class LakehouseSettings(HomeSettings):
    """The Iceberg catalog and its warehouse, SQL queries, bulk loads."""

    orphan_age_s: float = Field(
        7200,
        ge=3600,
        le=31_536_000,
        description=(
            "age at which unreferenced lakehouse files may be deleted; younger ones may belong to"
            " a commit in progress"
        ),
    )
    catalog_uri: str | None = Field(
        None,
        pattern="^https?://[^@]+$",
        description="Iceberg REST catalog; default: a SQLite file below HOME",
    )
    catalog_token: SecretStr | None = Field(None, description="bearer token of the REST catalog")
    catalog_credential: SecretStr | None = Field(
        None, description="client:secret of the REST catalog's OAuth2"
    )
    warehouse_uri: str | None = Field(
        None,
        min_length=1,
        description=(
            "s3://bucket/path, or a warehouse name of the REST catalog; default: a folder below"
            " HOME, or the REST catalog's default"
        ),
    )
    s3_endpoint: str | None = Field(
        None, pattern="^https?://", description="S3 endpoint of another object store; default: AWS"
    )
    s3_region: str | None = Field(None, min_length=1, description="region of the bucket")
    s3_access_key: SecretStr | None = Field(
        None, description="default: the engines' own lookup (environment, profile, role)"
    )
    s3_secret_key: SecretStr | None = Field(None, description="secret of s3_access_key")
    sql_memory_mb: int = Field(
        2048,
        ge=256,
        le=1_048_576,
        description="`tick sql`: memory limit of DuckDB; it spills to a temporary folder",
    )
    read_rows_max: int = Field(
        50_000_000,
        ge=1000,
        le=10_000_000_000,
        description=(
            "most rows that one read of training, comparison or parity takes into memory, estimated"
            " from the manifests; a larger range is refused"
        ),
    )
    load_commit_rows: int = Field(
        1_000_000,
        ge=1,
        le=100_000_000,
        description="bulk load: rows buffered in memory and written in one commit",
    )

    lease_s: float = Field(
        30,
        ge=1,
        le=3600,
        description=(
            "backfill, bulk load, rollback and the start of the live job exclude each other by"
            " leases: one that was not renewed for this long, in seconds, may be taken over"
        ),
    )
    lease_wait_s: float = Field(
        600,
        ge=1,
        le=86_400,
        description="longest wait for a lease that another process holds, in seconds",
    )

    @property
    def catalog_file(self) -> Path:
        """SQLite file of the Iceberg catalog, shared by Flink and PyIceberg."""
        return self.root / "lakehouse" / "catalog.db"

    @property
    def warehouse(self) -> Path:
        """Folder of the Iceberg tables."""
        return self.root / "lakehouse" / "warehouse"

    @property
    def in_object_store(self) -> bool:
        """Whether the tables are stored elsewhere than in a local folder."""
        return bool(self.catalog_uri or self.warehouse_uri)
