"""Where all state is stored, and how services start and stop."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TICK_"


class HomeSettings(BaseSettings):
    """Where all state is stored, and how services start and stop.

    Every group of settings has these, too.
    """

    model_config = SettingsConfigDict(
        # Errors name a setting without its value, which may be or contain a password.
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    home: Path = Field(
        Path(".tick"),
        description="folder of all state: jars, data, logs, PIDs, lakehouse, registry",
    )
    cache: Path | None = Field(None, description="folder of downloaded jars; default: HOME/jars")
    host: str = Field("127.0.0.1", description="address that every service binds to")
    start_timeout_s: float = Field(
        120, ge=1, le=3600, description="longest wait for a service to become ready"
    )
    stop_timeout_s: float = Field(
        30, ge=0, le=600, description="longest wait for a service to stop before SIGKILL"
    )
    project: Path | None = Field(
        None,
        description=(
            "folder with .venv-airflow and .venv-vision; default: the checkout, else the current"
            " folder"
        ),
    )
    download_timeout_s: float = Field(
        30, ge=1, le=3600, description="read timeout of downloads from public servers"
    )
    download_bytes_max: int = Field(
        1 << 30, ge=1024, le=1 << 40, description="largest file that is downloaded"
    )

    @property
    def root(self) -> Path:
        """HOME as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def feast_repo(self) -> Path:
        """Generated Feast repository (feature_store.yaml, registry.db)."""
        return self.root / "feast"
