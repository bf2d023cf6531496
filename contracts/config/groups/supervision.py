"""Supervision: how services that died are restarted, and how large their logs become."""

from pydantic import Field

from contracts.config.home import HomeSettings


class SupervisionSettings(HomeSettings):
    """Supervision: how services that died are restarted, and how large their logs become."""

    supervise_poll_s: float = Field(
        0.5, ge=0.05, le=60, description="interval at which the supervisor looks at every service"
    )
    supervise_job_poll_s: float = Field(
        2, ge=0.1, le=600, description="interval at which it asks Flink for the live job"
    )
    supervise_pause_s: float = Field(
        1,
        ge=0.05,
        le=600,
        description="pause before the second restart of a service; doubles with each further one",
    )
    supervise_pause_s_max: float = Field(
        30, ge=0.05, le=3600, description="longest pause between two restarts of a service"
    )
    supervise_attempts_max: int = Field(
        5,
        ge=1,
        le=1000,
        description="restarts of a service within supervise_window_s; then it is FAILED",
    )
    supervise_window_s: float = Field(
        300, ge=1, le=86_400, description="period in which restarts of a service are counted"
    )
    log_mb_max: int = Field(
        64,
        ge=1,
        le=1_048_576,
        description="MiB of a service's log, above which it is rotated; one old log is kept",
    )
