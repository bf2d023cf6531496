"""Airflow and its Postgres."""

from pathlib import Path

from pydantic import Field, SecretStr

from contracts.config.home import HomeSettings


class AirflowSettings(HomeSettings):
    """Airflow and its Postgres."""

    postgres_port: int = Field(
        7245, ge=1, le=65_535, description="embedded Postgres, Airflow's database"
    )
    airflow_port: int = Field(
        7250,
        ge=1,
        le=65_535,
        description="Airflow: web UI, REST API and the API that its tasks use",
    )
    airflow_host: str | None = Field(
        None, min_length=1, description="host of Airflow's api-server; default: `host`"
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
