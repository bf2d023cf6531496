"""All settings: one frozen object per process, read from environment variables with prefix `TICK_`.

Every limit of the platform has a line here. The settings of the promotion gate (costs, entry delay,
embargo, test days) have lower bounds: they can make the gate stricter, never easier.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import SettingError

PREFIX = "TICK_"
# Old name → new name. The old names work until the next release.
RENAMED = {
    "closing_beat_s": "final_heartbeat_s",
    "live_quiet_s": "live_idle_lag_s",
    "live_silence_s": "live_reconnect_after_s",
    "rate_max": "requests_per_s_max",
    "folds": "walk_forward_folds",
    "embargo": "embargo_share",
    "train_jobs": "train_threads",
}
NOT_SETTINGS = ("TICK_TEST_", "TICK_BENCH_")  # prefixes of test and benchmark variables


class Settings(BaseSettings):
    """Read once per process, from the environment alone (no `.env` file). Names end with their
    unit.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(
        Path(".tick"),
        description="folder of all state: jars, data, logs, PIDs, lakehouse, registry",
    )
    cache: Path | None = Field(None, description="folder of downloaded jars; default: HOME/jars")
    host: str = Field("127.0.0.1", description="address that every service binds to")
    kafka_port: int = Field(
        7200, ge=1, le=65_534, description="Kafka listener; the controller takes the next port"
    )
    flink_port: int = Field(
        7211, ge=1, le=65_533, description="Flink REST and web UI; the RPC port is the next one"
    )
    redis_port: int = Field(7220, ge=1, le=65_535, description="Redis")
    api_port: int = Field(7230, ge=1, le=65_535, description="prediction API")
    mlflow_port: int = Field(
        7240, ge=1, le=65_535, description="MLflow UI, started only by `tick open mlflow`"
    )
    postgres_port: int = Field(
        7245, ge=1, le=65_535, description="embedded Postgres, Airflow's database"
    )
    airflow_port: int = Field(
        7250,
        ge=1,
        le=65_535,
        description="Airflow: web UI, REST API and the API that its tasks use",
    )

    kafka_servers: str | None = Field(
        None,
        pattern=r"^[^,\s]+:\d+(,[^,\s]+:\d+)*$",
        description="bootstrap servers of an external Kafka cluster; default: the local one",
    )
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="security protocol of Kafka clients"
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism of Kafka clients"
    )
    kafka_user: str | None = Field(None, min_length=1, description="SASL user")
    kafka_password: SecretStr | None = Field(None, description="password of kafka_user")
    kafka_ca: Path | None = Field(
        None,
        description=(
            "PEM file of the CA that signed the brokers' certificates; default: the system's CAs"
        ),
    )
    kafka_replicas: int = Field(
        1, ge=1, le=16, description="replication factor of the topics that `stack` creates"
    )
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
    flink_host: str | None = Field(
        None, min_length=1, description="host of Flink's JobManager; default: `host`"
    )
    airflow_host: str | None = Field(
        None, min_length=1, description="host of Airflow's api-server; default: `host`"
    )
    api_host: str | None = Field(
        None, min_length=1, description="host at which clients reach the API; default: `host`"
    )

    kafka_heap_mb: int = Field(512, ge=256, le=65_536, description="Kafka heap")
    flink_jobmanager_mb: int = Field(
        1024, ge=704, le=65_536, description="Flink JobManager process memory"
    )
    flink_taskmanager_mb: int = Field(
        2304, ge=1024, le=1_048_576, description="Flink TaskManager process memory"
    )
    flink_slots: int = Field(4, ge=1, le=128, description="task slots of the TaskManager")
    redis_memory_mb: int = Field(
        512, ge=16, le=1_048_576, description="Redis maxmemory (noeviction)"
    )
    start_timeout_s: float = Field(
        120, ge=1, le=3600, description="longest wait for a service to become ready"
    )
    stop_timeout_s: float = Field(
        30, ge=0, le=600, description="longest wait for a service to stop before SIGKILL"
    )

    submit_timeout_s: float = Field(
        300, ge=10, le=3600, description="longest wait for Flink to plan and accept a job"
    )
    parallelism: int = Field(
        1,
        ge=1,
        le=128,
        description=(
            "parallelism of the live job; a higher one costs more CPU per tick, so raise it only"
            " when 1 is too slow"
        ),
    )
    backfill_parallelism: int = Field(
        2, ge=1, le=128, description="parallelism of a backfill's Flink job"
    )
    checkpoint_interval_s: float = Field(
        10, ge=0.5, le=600, description="interval of Flink checkpoints, hence of Iceberg commits"
    )
    restarts_max: int = Field(
        30,
        ge=1,
        le=10_000,
        description="consecutive restarts of a failing job; then it is FAILED",
    )
    restart_reset_s: float = Field(
        120,
        ge=10,
        le=86_400,
        description="after this long without a failure, a job's restart count is reset",
    )
    consumer_lag_max: int = Field(
        500_000,
        ge=1,
        le=1 << 40,
        description=(
            "consumer lag, in messages, above which the job is unhealthy; its groups commit once"
            " per checkpoint"
        ),
    )
    lateness_ms: int = Field(
        200,
        ge=0,
        le=60_000,
        description="watermark delay: how late a live tick may be and still count",
    )
    idle_timeout_s: float = Field(
        0,
        ge=0,
        le=3600,
        description=(
            "watermark idle timeout of `ticks` partitions; 0: never idle (producers send"
            " heartbeats to every partition)"
        ),
    )
    heartbeat_interval_s: float = Field(
        0.25, ge=0.01, le=5, description="interval of the producer's heartbeat to every partition"
    )
    warmup_s: int = Field(
        3900,
        ge=3600,
        le=86_400,
        description="history that a job without state reads from silver (default: 65 minutes)",
    )

    producer_linger_ms: int = Field(5, ge=0, le=1000, description="producer batching delay")
    producer_queue_max: int = Field(
        100_000, ge=1, le=10_000_000, description="most messages buffered in the producer"
    )
    delivery_timeout_ms: int = Field(
        120_000, ge=1000, le=3_600_000, description="longest time the producer retries one message"
    )
    live_url: str = Field(
        "wss://stream.binance.com:9443/stream",
        pattern="^wss?://",
        description="exchange WebSocket that `tick live` subscribes to",
    )
    live_rest_url: str | None = Field(
        None,
        pattern="^https?://",
        description=(
            "REST API from which missed trades are fetched, such as https://api.binance.com;"
            " default: gaps stay"
        ),
    )
    live_gap_max: int = Field(
        10_000, ge=1, le=1_000_000, description="most trades fetched to fill one gap"
    )
    live_idle_lag_s: float = Field(
        1.0, gt=0, le=60, description="how far event time trails the clock while no trade arrives"
    )
    live_reconnect_after_s: float = Field(
        30, ge=1, le=3600, description="reconnect when a connection was silent for this long"
    )
    live_retry_s_max: float = Field(
        30, ge=0.05, le=3600, description="longest pause between two connection attempts"
    )
    final_heartbeat_s: float = Field(
        3.0, ge=0, le=60, description="how long a live replay sends heartbeats after its last tick"
    )
    position_interval_s: float = Field(
        1.0, gt=0, le=60, description="how often a replay writes its position file"
    )

    writer_batch_rows: int = Field(
        1000, ge=1, le=100_000, description="online writer: rows per Redis pipeline"
    )
    writer_poll_ms: int = Field(
        20, ge=1, le=1000, description="online writer: longest wait for a batch to fill"
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
        description="socket and connect timeout of every Redis read and write",
    )
    redis_ttl_s: int = Field(
        86_400, ge=60, le=31_536_000, description="age at which the reader treats a row as missing"
    )
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
    load_commit_rows: int = Field(
        1_000_000,
        ge=1,
        le=100_000_000,
        description="bulk load: rows buffered in memory and written in one commit",
    )

    client_timeout_s: float = Field(
        60,
        ge=5,
        le=3600,
        description="Flink cancels a backfill job whose client sent no heartbeat for this long",
    )
    backfill_timeout_s: float = Field(
        3600, ge=10, le=86_400, description="longest run of one chunk of a backfill"
    )
    decision_grid_s: int = Field(
        60, ge=1, le=3600, description="spacing of the decision times of training rows"
    )
    fresh_s: float = Field(
        60, gt=0, le=86_400, description="features up to this age (in event time) are fresh"
    )
    stale_s: float = Field(
        300,
        gt=0,
        le=86_400,
        description=(
            "features up to this age are served as stale, older ones are refused; also the"
            " tolerance of the as-of join"
        ),
    )
    pipeline_lag_s_max: float = Field(
        10,
        gt=0,
        le=86_400,
        description="/readyz fails when the newest processed event time is older",
    )

    mlflow_tracking_uri: str | None = Field(
        None, description="default: MLFLOW_TRACKING_URI, else SQLite below HOME"
    )
    mlflow_artifacts: str | None = Field(
        None,
        min_length=1,
        description="artifact store of the MLflow UI, s3://…; default: below HOME",
    )
    model_name: str = Field("tick-model", description="registered model that /predict serves")
    experiment: str = Field(
        "tick-model-production", description="MLflow experiment of the tick pipeline"
    )
    horizon_s: int = Field(60, ge=1, le=86_400, description="label: time from entry to exit")
    entry_delay_s: int = Field(
        5,
        ge=5,
        le=3600,
        description="label: entry is the first trade strictly later than decision + this delay",
    )
    entry_late_s_max: int = Field(
        30, ge=0, le=3600, description="label is NULL when the entry is later than this"
    )
    cost_bp: float = Field(
        1.0,
        ge=1,
        le=100,
        description="one-way cost of a trade in basis points; the gate uses it, so at least 1",
    )
    seed: int = Field(7, ge=0, lt=2**32, description="seed of every random choice in training")
    train_threads: int = Field(2, ge=1, le=256, description="threads that fit the forest")
    test_days: int = Field(
        7,
        ge=7,
        le=366,
        description="last full UTC days, held out for the gate; it needs at least seven",
    )
    walk_forward_folds: int = Field(
        5,
        ge=1,
        le=20,
        description="walk-forward folds before the test days; fewer in a short range",
    )
    embargo_share: float = Field(
        0.01,
        ge=0.01,
        lt=0.5,
        description="share of the data's time span left out between training and test",
    )
    power_model_name: str = Field(
        "power-consumption-model",
        description="registered model of the total; zone models add -zone1, -zone2 …",
    )
    power_experiment: str = Field(
        "power-consumption-forecasting", description="MLflow experiment of the power pipeline"
    )
    power_test_days: int = Field(
        56,
        ge=28,
        le=366,
        description="last whole days, held out for the power gate (default: eight weeks)",
    )
    power_valid_days: int = Field(
        28,
        ge=7,
        le=366,
        description="days before the test days, the early-stopping set of LightGBM",
    )
    power_url: str = Field(
        "https://archive.ics.uci.edu/static/public/849/power+consumption+of+tetouan+city.zip",
        pattern="^https?://",
        description="public file of power readings (CC BY 4.0) that --download fetches",
    )
    power_sha256: str = Field(
        "3c4bf684161180937043a9fb65701a83d44b740b0d42f0492b6e7aec57ddbbfe",
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of that file",
    )
    mnist_model_name: str = Field("mnist-cnn-model", description="registered model of MNIST")
    mnist_experiment: str = Field("mnist-cnn-experiments", description="MLflow experiment of MNIST")
    mnist_url: str = Field(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        pattern="^https?://",
        description="public file of MNIST that --download fetches",
    )
    mnist_sha256: str = Field(
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of that file",
    )
    cifar10_model_name: str = Field("cifar10-cnn-model", description="registered model of CIFAR-10")
    cifar10_experiment: str = Field(
        "cifar10-cnn-experiments", description="MLflow experiment of CIFAR-10"
    )
    cifar10_url: str = Field(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        pattern="^https?://",
        description=(
            "public file of CIFAR-10 that --download fetches: the binary version, because the"
            " Python one is a pickle"
        ),
    )
    cifar10_sha256: str = Field(
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of that file",
    )
    project: Path | None = Field(
        None,
        description=(
            "folder with .venv-airflow and .venv-vision; default: the checkout, else the current"
            " folder"
        ),
    )
    vision_python: Path | None = Field(
        None,
        description=(
            "Python with Keras or Torch for image training; default: the current one, else the"
            " project's .venv-vision"
        ),
    )
    airflow_python: Path | None = Field(
        None,
        description=(
            "Python with Airflow; default: the current one, else the project's .venv-airflow"
            " (`make install-airflow`)"
        ),
    )
    airflow_database: SecretStr | None = Field(
        None,
        description=(
            "external Postgres, postgresql://user:password@host:port/name; default: a local one"
        ),
    )
    airflow_parallelism: int = Field(
        2, ge=1, le=64, description="concurrent tasks; Airflow forks one worker per task at start"
    )
    airflow_retry_s_max: float = Field(
        900, ge=1, le=86_400, description="longest pause before a task is retried"
    )
    airflow_approval: bool = Field(
        False, description="a person must approve in Airflow before a model becomes Production"
    )
    airflow_keep_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="retention of Airflow's logs and rows, and of training run directories",
    )
    airflow_statsd: str | None = Field(
        None,
        pattern=r"^[^:/\s]+:\d+$",
        description="host:port that Airflow sends StatsD metrics to",
    )
    airflow_otel: str | None = Field(
        None,
        pattern="^https?://",
        description="OpenTelemetry collector for Airflow's metrics and traces",
    )
    download_timeout_s: float = Field(
        30, ge=1, le=3600, description="read timeout of downloads from public servers"
    )
    download_bytes_max: int = Field(
        1 << 30, ge=1024, le=1 << 40, description="largest file that is downloaded"
    )
    model_check_timeout_s: float = Field(
        60, ge=1, le=3600, description="timeout of a model file's trial load in a child process"
    )

    api_key: SecretStr | None = Field(
        None, description="X-API-Key that /predict requires; `tick up` generates one when unset"
    )
    api_keys_file: Path | None = Field(
        None,
        description=(
            "file of further accepted keys, one per line: one per caller, or old and new while"
            " rotating"
        ),
    )
    api_open: bool = Field(
        False,
        description=(
            "development only, on loopback only: serve the docs to everyone, and all routes when"
            " no key is set"
        ),
    )
    api_log: bool = Field(False, description="log one line per API request: id, route, status, ms")
    api_otel: str | None = Field(
        None,
        pattern="^https?://",
        description="OpenTelemetry collector (OTLP over HTTP) for the API's traces",
    )
    api_otel_sample: float = Field(
        1,
        ge=0,
        le=1,
        description="share of requests that are traced; a caller's sampling decision takes"
        " precedence",
    )
    api_workers: int = Field(1, ge=1, le=64, description="API worker processes")
    api_requests_max: int = Field(
        256,
        ge=1,
        le=100_000,
        description="concurrent requests of one API process, without streams; more get 503",
    )
    body_timeout_s: float = Field(10, gt=0, le=600, description="longest wait for a request body")
    body_bytes_max: int = Field(65_536, ge=1024, le=16_777_216, description="largest request body")
    symbols_max: int = Field(100, ge=1, le=10_000, description="most symbols of one request")
    batch_bytes_max: int = Field(
        4_194_304,
        ge=1024,
        le=1 << 30,
        description="largest body of /predict/batch and /v2/…/infer",
    )
    batch_rows_max: int = Field(
        10_000, ge=1, le=1_000_000, description="most rows of /predict/batch and /v2/…/infer"
    )
    streams_max: int = Field(
        32,
        ge=0,
        le=10_000,
        description="concurrent event streams of one API process; more get 503",
    )
    stream_s_max: float = Field(
        3600, ge=1, le=86_400, description="lifetime of an event stream; then clients reconnect"
    )
    stream_poll_s: float = Field(
        1, ge=0.05, le=60, description="how often a stream polls for newer features"
    )
    requests_per_s_max: float = Field(
        0,
        ge=0,
        le=1_000_000,
        description="rate limit of one API key in one process, requests per second; 0: no limit",
    )
    challenger_share: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the symbols that a challenger answers; shadow mode for the others",
    )
    feature_read_ms_max: int = Field(
        200, ge=1, le=60_000, description="timeout of one read of the online store; then 503"
    )
    micro_batch_symbols_max: int = Field(
        256, ge=1, le=10_000, description="most symbols of one read that serves several requests"
    )
    retry_after_s: int = Field(
        5, ge=1, le=3600, description="Retry-After of a 503 without a better estimate"
    )
    model_retry_s: float = Field(
        10,
        gt=0,
        le=3600,
        description="pause after a registry failure; doubles up to model_refresh_s",
    )
    model_watch_s: float = Field(
        1,
        gt=0,
        le=3600,
        description="how often an API process polls Redis for a change of Production (one key)",
    )
    model_refresh_s: float = Field(
        300,
        ge=1,
        le=86_400,
        description="how often it polls the registry itself, in case a signal was lost",
    )
    prediction_sample: float = Field(
        1.0, ge=0, le=1, description="share of answers recorded in topic predictions"
    )
    prediction_queue_max: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="most answers queued for recording; more are dropped and counted",
    )

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        if self.stale_s < self.fresh_s:
            raise ValueError(
                "stale_s must not be below fresh_s: fresh features would be refused; raise"
                " TICK_STALE_S or lower TICK_FRESH_S"
            )
        if self.flink_slots < max(self.parallelism, self.backfill_parallelism):
            raise ValueError(
                "flink_slots must not be below parallelism or backfill_parallelism: the job would"
                " wait for slots indefinitely; raise TICK_FLINK_SLOTS"
            )
        if (
            self.warehouse_uri
            and not self.catalog_uri
            and not self.warehouse_uri.startswith("s3://")
        ):
            raise ValueError(
                "warehouse_uri must begin with s3:// unless catalog_uri names a REST catalog"
            )
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key must be set together")
        return self

    @property
    def root(self) -> Path:
        """HOME as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def kafka(self) -> str:
        """Kafka bootstrap servers."""
        return self.kafka_servers or f"{self.host}:{self.kafka_port}"

    @property
    def redis(self) -> str:
        """Host name of Redis."""
        return self.redis_host or self.host

    @property
    def flink(self) -> str:
        """Host name of the JobManager."""
        return self.flink_host or self.host

    @property
    def flink_url(self) -> str:
        """Base URL of Flink's REST interface."""
        return f"http://{self.flink}:{self.flink_port}"

    @property
    def api_url(self) -> str:
        """Base URL of the prediction API."""
        return f"http://{self.api_host or self.host}:{self.api_port}"

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

    @property
    def feast_repo(self) -> Path:
        """Generated Feast repository (feature_store.yaml, registry.db)."""
        return self.root / "feast"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once from the environment.

    Raises SettingError for an unknown TICK_ variable.
    """
    values = renamed(os.environ)
    require_known(os.environ)
    return Settings(**values)


def renamed(environment: Mapping[str, str]) -> dict[str, Any]:
    """Values given under an old name, by the present one; a warning for each.

    Raises SettingError when both are set to different numbers: a child process has both, from the
    shell and from its parent.
    """
    values = {}
    for old, name in RENAMED.items():
        before, now = PREFIX + old.upper(), PREFIX + name.upper()
        if before not in environment:
            continue
        if now in environment:
            if not _is_same(environment, now, before):
                message = f"{before} is the old name of {now}, and they differ"
                raise SettingError(message, f"unset {before}")
            continue
        warning = "%s is now %s; the old name will be refused in the next release"
        logging.getLogger("tick").warning(warning, before, now)
        values[name] = environment[before]
    return values


def _is_same(environment: Mapping[str, str], one: str, other: str) -> bool:
    try:
        return float(environment[one]) == float(environment[other])
    except ValueError:
        return False


def require_known(names: Iterable[str]) -> None:
    """Raises SettingError for an unknown TICK_ variable: a misspelt one must not be ignored.

    The hint names the nearest setting.
    """
    known = [PREFIX + name.upper() for name in (*Settings.model_fields, *RENAMED)]
    for name in (name.upper() for name in names):
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS) and name not in known:
            near = get_close_matches(name, known, 1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else "every setting is described in contracts/config/settings.py"
            )
            raise SettingError(f"unknown setting {name}", f"{hint} (or unset {name})")
