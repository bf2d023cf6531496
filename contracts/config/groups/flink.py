"""Flink: the cluster, the live job, backfills."""

from pydantic import Field

from contracts.config.home import HomeSettings


class FlinkSettings(HomeSettings):
    """Flink: the cluster, the live job, backfills."""

    flink_port: int = Field(
        7211, ge=1, le=65_533, description="Flink REST and web UI; the RPC port is the next one"
    )
    flink_host: str | None = Field(
        None, min_length=1, description="host of Flink's JobManager; default: `host`"
    )
    flink_jobmanager_mb: int = Field(
        1024, ge=704, le=65_536, description="Flink JobManager process memory"
    )
    flink_taskmanager_mb: int = Field(
        2304, ge=1024, le=1_048_576, description="Flink TaskManager process memory"
    )
    flink_slots: int = Field(4, ge=1, le=128, description="task slots of the TaskManager")
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
    upgrade_stretch_s: int = Field(
        180,
        ge=1,
        le=3600,
        description=(
            "event time over which `tick job upgrade` compares the new job with the running one"
        ),
    )
    upgrade_timeout_s: float = Field(
        600,
        ge=10,
        le=7200,
        description=(
            "longest wait of `tick job upgrade` for each of its steps, beyond the compared stretch"
        ),
    )
    client_timeout_s: float = Field(
        60,
        ge=5,
        le=3600,
        description=(
            "Flink cancels a backfill, or the shadow of an upgrade, whose client sent no heartbeat"
            " for this long"
        ),
    )
    backfill_timeout_s: float = Field(
        3600, ge=10, le=86_400, description="longest run of one chunk of a backfill"
    )

    @property
    def flink(self) -> str:
        """Host name of the JobManager."""
        return self.flink_host or self.host

    @property
    def flink_url(self) -> str:
        """Base URL of Flink's REST interface."""
        return f"http://{self.flink}:{self.flink_port}"
