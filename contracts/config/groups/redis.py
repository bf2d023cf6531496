"""Redis, and the writer of online features."""

from pathlib import Path

from pydantic import Field, SecretStr

from contracts.config.home import HomeSettings


class RedisSettings(HomeSettings):
    """Redis, and the writer of online features."""

    redis_port: int = Field(7220, ge=1, le=65_535, description="Redis")
    redis_host: str | None = Field(
        None,
        min_length=1,
        description="host of an external Redis, at redis_port; default: the local one",
    )
    redis_user: str | None = Field(None, min_length=1, description="Redis ACL user")
    redis_password: SecretStr | None = Field(None, description="Redis password")
    redis_tls: bool = Field(False, description="connect to Redis with TLS")
    redis_ca: Path | None = Field(
        None,
        description=(
            "PEM file of the CA that signed Redis' certificate; default: the system's CAs"
        ),
    )
    redis_memory_mb: int = Field(
        512, ge=16, le=1_048_576, description="Redis maxmemory (noeviction)"
    )
    online_symbols_max: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description=(
            "most symbols in Redis, about 9 KB each; the rows of a new symbol beyond it are counted"
            " and not written"
        ),
    )
    writer_batch_rows: int = Field(
        1000, ge=1, le=100_000, description="online writer: rows per Redis pipeline"
    )
    writer_poll_ms: int = Field(
        20,
        ge=1,
        le=1000,
        description="online writer: longest wait for the first message of a batch",
    )
    writer_timeout_ms: int = Field(
        2000,
        ge=10,
        le=60_000,
        description="online writer: socket timeout; a slow fsync must not look like an outage",
    )
    writer_retry_s_max: float = Field(
        2.0,
        ge=0.05,
        le=60,
        description="online writer: longest pause between two attempts while Redis is unavailable",
    )
    writer_freshness_samples: int = Field(
        5000,
        ge=1,
        le=1_000_000,
        description="online writer: number of newest freshness samples kept in Redis",
    )
    redis_connections_max: int = Field(
        16, ge=1, le=1000, description="online reader: most connections of one process"
    )
    future_row_ms_max: int = Field(
        5000,
        ge=0,
        le=3_600_000,
        description="online writer: rows further ahead of the clock are rejected",
    )
    redis_timeout_ms: int = Field(
        100,
        ge=1,
        le=60_000,
        description="socket and connect timeout of reads, by the online reader and Feast",
    )
    redis_ttl_s: int = Field(
        86_400, ge=60, le=31_536_000, description="age at which the reader treats a row as missing"
    )

    @property
    def redis(self) -> str:
        """Host name of Redis."""
        return self.redis_host or self.host
