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
    snapshot_keep_h: float = Field(
        24,
        ge=0.1,
        le=8760,
        description="maintenance: hours for which a table keeps its snapshots; older ones expire",
    )
    snapshots_min: int = Field(
        10,
        ge=1,
        le=1000,
        description="maintenance: the newest snapshots of a table that never expire by age",
    )
    snapshots_max: int = Field(
        1000,
        ge=10,
        le=100_000,
        description=(
            "maintenance: most snapshots that a table keeps; the metadata that every commit"
            " rewrites grows by about 1 kB per snapshot"
        ),
    )
    metadata_versions_max: int = Field(
        20, ge=1, le=1000, description="earlier metadata files that a table keeps"
    )
    training_pin_days: float = Field(
        400,
        ge=1,
        le=36_500,
        description=(
            "days for which the snapshots of a training set stay readable (`tick dataset rebuild`)"
        ),
    )
    compact_files_max: int = Field(
        8,
        ge=2,
        le=100_000,
        description="maintenance: a closed partition with more small files than this is compacted",
    )
    compact_group_mb: int = Field(
        32,
        ge=1,
        le=4096,
        description=(
            "compaction: MiB of files that are read and merged at a time; in memory their rows take"
            " up to about ten times as much"
        ),
    )
    compact_quiet_s: float = Field(
        3600,
        ge=0,
        le=31_536_000,
        description="maintenance: a partition with a file younger than this is not compacted yet",
    )
    maintenance_interval_s: float = Field(
        3600, ge=1, le=604_800, description="interval of the passes of the service `maintenance`"
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
