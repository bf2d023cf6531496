"""The prediction API."""

from pathlib import Path

from pydantic import Field, SecretStr

from contracts.config.home import HomeSettings


class ServingSettings(HomeSettings):
    """The prediction API."""

    api_port: int = Field(7230, ge=1, le=65_535, description="prediction API")
    api_host: str | None = Field(
        None, min_length=1, description="host at which clients reach the API; default: `host`"
    )
    fresh_s: float = Field(
        60, gt=0, le=86_400, description="features up to this age (in event time) are fresh"
    )
    stale_s: float = Field(
        300,
        gt=0,
        le=86_400,
        description=(
            "age above which features are refused; between fresh_s and this they are served with"
            " `stale: true`; also the tolerance of the as-of join, and the silence that ends a"
            " label or a position"
        ),
    )
    pipeline_lag_s_max: float = Field(
        10,
        gt=0,
        le=86_400,
        description="/readyz fails when the newest processed event time is older",
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
    api_keys_stale_s_max: float = Field(
        60,
        ge=0,
        le=86_400,
        description=(
            "how long the keys of a file that cannot be read stay accepted; a file that is absent"
            " at two checks in a row (5 s apart) revokes them earlier"
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
    header_bytes_max: int = Field(
        32_768,
        ge=1024,
        le=1_048_576,
        description="largest request target and headers, bytes in all; more get 431",
    )
    headers_max: int = Field(
        100, ge=10, le=10_000, description="most headers of one request; more get 431"
    )
    header_timeout_s: float = Field(
        10,
        gt=0,
        le=600,
        description="longest wait for the headers of a request; then the connection is closed",
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
    live_symbols_max: int = Field(
        50, ge=1, le=1000, description="most symbols that the live page shows, in sorted order"
    )
    live_symbols_age_s: float = Field(
        2,
        ge=0,
        le=3600,
        description="how long open live pages share one scan of the store for symbols",
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

    @property
    def api_url(self) -> str:
        """Base URL of the prediction API."""
        return f"http://{self.api_host or self.host}:{self.api_port}"
