"""One frozen settings object for every part: environment prefix `TICK_`, every limit has its line
here.

What the gate judges by may be made stricter here, never easier: costs, entry delay, embargo, test
days have their lower bounds.
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
# Old name → name. The old ones work until the release after this one.
RENAMED = {
    "closing_beat_s": "final_heartbeat_s",
    "live_quiet_s": "live_idle_lag_s",
    "live_silence_s": "live_reconnect_after_s",
    "rate_max": "requests_per_s_max",
    "folds": "walk_forward_folds",
    "embargo": "embargo_share",
    "train_jobs": "train_threads",
}
NOT_SETTINGS = ("TICK_TEST_", "TICK_BENCH_")  # variables of the tests and measurements


class Settings(BaseSettings):
    """Read once per process, from the environment alone (no `.env` file). Times carry their unit in
    the name.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(
        Path(".tick"),
        description="holds every bit of state: jars, data, logs, PIDs, lakehouse, registry",
    )
    cache: Path | None = Field(None, description="downloaded jars; default: HOME/jars")
    host: str = Field("127.0.0.1", description="address every service binds")
    kafka_port: int = Field(
        7200, ge=1, le=65_534, description="Kafka listener; the controller takes the next port"
    )
    flink_port: int = Field(
        7211, ge=1, le=65_533, description="Flink REST and web page; the RPC port is the next one"
    )
    redis_port: int = Field(7220, ge=1, le=65_535, description="Redis")
    api_port: int = Field(7230, ge=1, le=65_535, description="prediction API")
    mlflow_port: int = Field(
        7240, ge=1, le=65_535, description="MLflow page, started only by `tick open mlflow`"
    )
    postgres_port: int = Field(
        7245, ge=1, le=65_535, description="embedded Postgres, Airflow's data base"
    )
    airflow_port: int = Field(
        7250,
        ge=1,
        le=65_535,
        description="Airflow: page, REST interface and what its tasks talk to",
    )

    kafka_servers: str | None = Field(
        None,
        pattern=r"^[^,\s]+:\d+(,[^,\s]+:\d+)*$",
        description="a Kafka cluster of one's own; default: the local one",
    )
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients talk to Kafka"
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="how they log in with SASL"
    )
    kafka_user: str | None = Field(None, min_length=1, description="user of SASL")
    kafka_password: SecretStr | None = Field(None, description="belongs to kafka_user")
    kafka_ca: Path | None = Field(
        None,
        description=(
            "PEM file of the authority that signed the brokers' certificates; default: the system's"
        ),
    )
    kafka_replicas: int = Field(
        1, ge=1, le=16, description="replicas of each topic that is created"
    )
    redis_host: str | None = Field(
        None,
        min_length=1,
        description="a Redis of one's own, at redis_port; default: the local one",
    )
    redis_user: str | None = Field(None, min_length=1, description="user of Redis' access lists")
    redis_password: SecretStr | None = Field(None, description="password of Redis")
    redis_tls: bool = Field(False, description="talk TLS to Redis")
    redis_ca: Path | None = Field(
        None,
        description=(
            "PEM file of the authority that signed Redis' certificate; default: the system's"
        ),
    )
    flink_host: str | None = Field(
        None, min_length=1, description="where Flink's JobManager is; default: here"
    )
    airflow_host: str | None = Field(
        None, min_length=1, description="where Airflow's api-server is; default: here"
    )
    api_host: str | None = Field(
        None, min_length=1, description="where clients find the API; default: here"
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
            "parallelism of the live job; more costs more per tick, for when one is too slow"
        ),
    )
    backfill_parallelism: int = Field(
        2, ge=1, le=128, description="parallelism of a backfill's Flink job"
    )
    checkpoint_interval_s: float = Field(
        10, ge=0.5, le=600, description="Flink checkpoint, hence Iceberg commit, interval"
    )
    restarts_max: int = Field(
        30,
        ge=1,
        le=10_000,
        description="Flink restarts a failing job this often in a row, then it is FAILED",
    )
    restart_reset_s: float = Field(
        120,
        ge=10,
        le=86_400,
        description="a job that ran this long without a failure has all its restarts again",
    )
    consumer_lag_max: int = Field(
        500_000,
        ge=1,
        le=1 << 40,
        description=(
            "messages a consumer group may be behind; the job's groups commit once per checkpoint"
        ),
    )
    lateness_ms: int = Field(
        200, ge=0, le=60_000, description="watermark delay = allowed lateness of a live tick"
    )
    idle_timeout_s: float = Field(
        0,
        ge=0,
        le=3600,
        description=(
            "a partition of ticks silent this long stops holding time; 0: never, for senders beat"
            " in all of them"
        ),
    )
    heartbeat_interval_s: float = Field(
        0.25, ge=0.01, le=5, description="producer heartbeat to every partition"
    )
    warmup_s: int = Field(
        3900,
        ge=3600,
        le=86_400,
        description="history a job without state reads from silver (65 minutes)",
    )

    producer_linger_ms: int = Field(5, ge=0, le=1000, description="producer batching delay")
    producer_queue_max: int = Field(
        100_000, ge=1, le=10_000_000, description="messages waiting in the producer"
    )
    delivery_timeout_ms: int = Field(
        120_000, ge=1000, le=3_600_000, description="longest time the producer retries one message"
    )
    live_url: str = Field(
        "wss://stream.binance.com:9443/stream",
        pattern="^wss?://",
        description="exchange socket that `tick live` hears",
    )
    live_rest_url: str | None = Field(
        None,
        pattern="^https?://",
        description=(
            "REST interface that gives the trades of a gap, https://api.binance.com; default: gaps"
            " stay"
        ),
    )
    live_gap_max: int = Field(
        10_000, ge=1, le=1_000_000, description="most trades of one gap that are fetched"
    )
    live_idle_lag_s: float = Field(
        1.0, gt=0, le=60, description="how far behind now time is while the exchange says nothing"
    )
    live_reconnect_after_s: float = Field(
        30, ge=1, le=3600, description="a connection silent for longer is opened anew"
    )
    live_retry_s_max: float = Field(
        30, ge=0.05, le=3600, description="longest pause before a connection is tried again"
    )
    final_heartbeat_s: float = Field(
        3.0, ge=0, le=60, description="a live replay keeps beating this long after its last tick"
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
        description="online writer: socket time-out; a slow fsync must not look like an outage",
    )
    writer_retry_s_max: float = Field(
        2.0,
        ge=0.05,
        le=60,
        description="online writer: longest pause between two tries while Redis is away",
    )
    writer_freshness_samples: int = Field(
        5000,
        ge=1,
        le=1_000_000,
        description="online writer: newest freshness samples kept in Redis",
    )
    redis_connections_max: int = Field(
        16, ge=1, le=1000, description="online reader: connections of one process"
    )
    future_row_ms_max: int = Field(
        5000, ge=0, le=3_600_000, description="online writer: a row further ahead of now is refused"
    )
    redis_timeout_ms: int = Field(
        100,
        ge=1,
        le=60_000,
        description="socket and connect time-out of every Redis read and write",
    )
    redis_ttl_s: int = Field(
        86_400, ge=60, le=31_536_000, description="age at which the reader treats a row as missing"
    )
    orphan_age_s: float = Field(
        7200,
        ge=3600,
        le=31_536_000,
        description=(
            "files of the lakehouse that nothing refers to stay this long: somebody may commit"
            " them yet"
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
            "s3://bucket/path, or a name the REST catalog knows; default: a folder below HOME, or"
            " the server's"
        ),
    )
    s3_endpoint: str | None = Field(
        None, pattern="^https?://", description="object store of one's own; default: AWS"
    )
    s3_region: str | None = Field(None, min_length=1, description="region of the bucket")
    s3_access_key: SecretStr | None = Field(
        None, description="default: what the engines find by themselves (environment, role)"
    )
    s3_secret_key: SecretStr | None = Field(None, description="belongs to s3_access_key")
    sql_memory_mb: int = Field(
        2048,
        ge=256,
        le=1_048_576,
        description="`tick sql`: memory of DuckDB; beyond it goes to a temporary folder",
    )
    load_commit_rows: int = Field(
        1_000_000,
        ge=1,
        le=100_000_000,
        description="bulk load: rows held in memory and written in one commit",
    )

    client_timeout_s: float = Field(
        60,
        ge=5,
        le=3600,
        description="Flink cancels the job of a backfill whose client is silent for longer",
    )
    backfill_timeout_s: float = Field(
        3600, ge=10, le=86_400, description="longest run of one chunk of a backfill"
    )
    decision_grid_s: int = Field(
        60, ge=1, le=3600, description="training rows are decided this often"
    )
    fresh_s: float = Field(
        60, gt=0, le=86_400, description="features up to this event age are fresh"
    )
    stale_s: float = Field(
        300,
        gt=0,
        le=86_400,
        description=(
            "up to this age they are answered as stale, older ones refused; also the join tolerance"
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
        description="where the MLflow page keeps artifacts, s3://…; default: below HOME",
    )
    model_name: str = Field("tick-model", description="registered model that /predict serves")
    experiment: str = Field(
        "tick-model-production", description="MLflow experiment of the tick pipeline"
    )
    horizon_s: int = Field(60, ge=1, le=86_400, description="label: exit this long after the entry")
    entry_delay_s: int = Field(
        5,
        ge=5,
        le=3600,
        description="label: entry is the first trade strictly after decision + this",
    )
    entry_late_s_max: int = Field(
        30, ge=0, le=3600, description="label is NULL when the entry is later than this"
    )
    cost_bp: float = Field(
        1.0,
        ge=1,
        le=100,
        description="one-way cost of a trade in basis points; the gate's, hence never below 1",
    )
    seed: int = Field(7, ge=0, lt=2**32, description="seed of every random choice in training")
    train_threads: int = Field(2, ge=1, le=256, description="cores that fit the forest")
    test_days: int = Field(
        7,
        ge=7,
        le=366,
        description="last full UTC days kept untouched for the gate, which needs seven",
    )
    walk_forward_folds: int = Field(
        5, ge=1, le=20, description="folds before the test days; fewer when the range is too short"
    )
    embargo_share: float = Field(
        0.01,
        ge=0.01,
        lt=0.5,
        description="share of the data's time span left out between training and test",
    )
    power_model_name: str = Field(
        "power-consumption-model",
        description="registered model of the total; of a zone: this and -zone1 …",
    )
    power_experiment: str = Field(
        "power-consumption-forecasting", description="MLflow experiment of the power pipeline"
    )
    power_test_days: int = Field(
        56,
        ge=28,
        le=366,
        description="last whole days kept untouched for the power gate: eight weeks",
    )
    power_valid_days: int = Field(
        28, ge=7, le=366, description="days before them by which LightGBM stops early"
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
    mnist_model_name: str = Field("mnist-cnn-model", description="registered model of the digits")
    mnist_experiment: str = Field(
        "mnist-cnn-experiments", description="MLflow experiment of the digits"
    )
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
            "public file of CIFAR-10 that --download fetches; the binary version, for the other one"
            " is pickled"
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
            "Python with Keras or Torch that trains images; default: this one, else .venv-vision of"
            " the project"
        ),
    )
    airflow_python: Path | None = Field(
        None,
        description=(
            "Python with Airflow; default: this one, else .venv-airflow of the project (`make"
            " install-airflow`)"
        ),
    )
    airflow_database: SecretStr | None = Field(
        None,
        description=(
            "Postgres of one's own, postgresql://user:password@host:port/name; default: a local one"
        ),
    )
    airflow_parallelism: int = Field(
        2, ge=1, le=64, description="tasks at a time; Airflow forks so many workers when it starts"
    )
    airflow_retry_s_max: float = Field(
        900, ge=1, le=86_400, description="longest pause before a task is tried again"
    )
    airflow_approval: bool = Field(
        False, description="a person must approve in Airflow before a model becomes Production"
    )
    airflow_keep_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Airflow's logs and rows, and folders of trainings, are kept this long",
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
        30, ge=1, le=3600, description="longest silence of a public server"
    )
    download_bytes_max: int = Field(
        1 << 30, ge=1024, le=1 << 40, description="longest file that is downloaded"
    )
    model_check_timeout_s: float = Field(
        60, ge=1, le=3600, description="longest first load of a model file in its child process"
    )

    api_key: SecretStr | None = Field(
        None, description="X-API-Key that /predict needs; generated by `tick up` when unset"
    )
    api_keys_file: Path | None = Field(
        None,
        description=(
            "further accepted keys, one per line: one per caller, or old and new while rotating"
        ),
    )
    api_open: bool = Field(
        False,
        description=(
            "development only: serve docs, and without any key everything, to everyone; loopback"
            " only"
        ),
    )
    api_log: bool = Field(
        False, description="a line in the API's log for every request: id, route, status, ms"
    )
    api_otel: str | None = Field(
        None,
        pattern="^https?://",
        description="OpenTelemetry collector (OTLP over HTTP) for the API's traces",
    )
    api_otel_sample: float = Field(
        1,
        ge=0,
        le=1,
        description="share of the requests that are traced; a caller's own decision goes before",
    )
    api_workers: int = Field(1, ge=1, le=64, description="API worker processes")
    api_requests_max: int = Field(
        256,
        ge=1,
        le=100_000,
        description="requests, without streams, at work in one API process; more get 503",
    )
    body_timeout_s: float = Field(10, gt=0, le=600, description="longest wait for a request body")
    body_bytes_max: int = Field(65_536, ge=1024, le=16_777_216, description="longest request body")
    symbols_max: int = Field(100, ge=1, le=10_000, description="most symbols of one request")
    batch_bytes_max: int = Field(
        4_194_304, ge=1024, le=1 << 30, description="longest body of /predict/batch and /v2/…/infer"
    )
    batch_rows_max: int = Field(10_000, ge=1, le=1_000_000, description="most rows of one of those")
    streams_max: int = Field(
        32,
        ge=0,
        le=10_000,
        description="event streams open at a time in one API process; more get 503",
    )
    stream_s_max: float = Field(
        3600, ge=1, le=86_400, description="longest life of an event stream; clients connect again"
    )
    stream_poll_s: float = Field(
        1, ge=0.05, le=60, description="how often a stream looks for newer features"
    )
    requests_per_s_max: float = Field(
        0,
        ge=0,
        le=1_000_000,
        description="requests a second of one API key in one process; 0: no limit",
    )
    challenger_share: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the symbols that a challenger answers; the others in the shadow",
    )
    feature_read_ms_max: int = Field(
        200, ge=1, le=60_000, description="longest wait for one read of the online store; then 503"
    )
    micro_batch_symbols_max: int = Field(
        256, ge=1, le=10_000, description="symbols of one read for requests that come together"
    )
    retry_after_s: int = Field(
        5, ge=1, le=3600, description="Retry-After of a 503 when nothing better is known"
    )
    model_retry_s: float = Field(
        10,
        gt=0,
        le=3600,
        description="pause after the registry failed; doubles up to model_refresh_s",
    )
    model_watch_s: float = Field(
        1,
        gt=0,
        le=3600,
        description="how often an API looks whether Production was changed (one key in Redis)",
    )
    model_refresh_s: float = Field(
        300,
        ge=1,
        le=86_400,
        description="how often it asks the registry itself, for notices that were lost",
    )
    prediction_sample: float = Field(
        1.0, ge=0, le=1, description="share of answers recorded in topic predictions"
    )
    prediction_queue_max: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="answers waiting to be recorded; more are dropped and counted",
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.stale_s < self.fresh_s:
            raise ValueError("stale_s must not be below fresh_s: what is fresh would be refused")
        if self.flink_slots < max(self.parallelism, self.backfill_parallelism):
            raise ValueError(
                "flink_slots must not be below parallelism or backfill_parallelism: the job would"
                " wait for slots for ever"
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
            raise ValueError("s3_access_key and s3_secret_key belong together")
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
        """Host of Redis."""
        return self.redis_host or self.host

    @property
    def flink(self) -> str:
        """Host of the JobManager."""
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
        """SQLite file of the Iceberg catalog that Flink and PyIceberg share."""
        return self.root / "lakehouse" / "catalog.db"

    @property
    def warehouse(self) -> Path:
        """Folder of the Iceberg tables."""
        return self.root / "lakehouse" / "warehouse"

    @property
    def in_object_store(self) -> bool:
        """Whether the tables lie elsewhere than in a folder."""
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
    """A misspelt variable must not be ignored: SettingError names it and the nearest setting."""
    known = [PREFIX + name.upper() for name in (*Settings.model_fields, *RENAMED)]
    for name in (name.upper() for name in names):
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS) and name not in known:
            near = get_close_matches(name, known, 1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else "every setting is described in contracts/config/settings.py"
            )
            raise SettingError(f"there is no setting {name}", f"{hint} (or unset it)")
