"""Generated secrets: the API key in HOME/secrets.env, Airflow's secrets in
HOME/airflow/secrets.json; only the owner of the files can read them.
"""

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from contracts.config import paths
from contracts.config.groups.serving import ServingSettings
from contracts.config.home import HomeSettings
from contracts.errors import ServiceError
from contracts.files import replace_atomically

KEY_BYTES = 32
API_KEY_NAME = "TICK_API_KEY"


def _generate_token() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def _generate_fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class AirflowSecrets:
    """Keys that Airflow's components share, and the passwords of its user `admin` and of its
    Postgres.
    """

    admin: str = field(default_factory=_generate_token)
    postgres: str = field(default_factory=_generate_token)
    fernet_key: str = field(default_factory=_generate_fernet_key)
    jwt_secret: str = field(default_factory=_generate_token)
    secret_key: str = field(default_factory=_generate_token)


def airflow_secrets(settings: HomeSettings) -> AirflowSecrets:
    """Airflow's secrets; the first call generates them, and later ones what it lacks."""
    file = paths.airflow_home(settings) / "secrets.json"
    stored = json.loads(file.read_text()) if file.exists() else {}
    complete = AirflowSecrets(**stored)
    if stored != asdict(complete):
        write_private(file, json.dumps(asdict(complete)))
    return complete


def write_private(file: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with (
        replace_atomically(file) as partial,
        os.fdopen(os.open(partial, flags, 0o600), "w") as stream,
    ):
        stream.write(text)


def ensure_api_key(settings: ServingSettings) -> None:
    """Generate the API key unless it is set or was generated before."""
    file = paths.secrets_file(settings)
    if settings.api_key is None and not file.exists():
        write_private(file, f"{API_KEY_NAME}={_generate_token()}\n")


def find_api_key(settings: ServingSettings) -> str | None:
    """The API key of the settings or of HOME/secrets.env, if there is one."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    file = paths.secrets_file(settings)
    lines = file.read_text().splitlines() if file.exists() else []
    prefix = f"{API_KEY_NAME}="
    return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), None)


def api_key(settings: ServingSettings) -> str:
    """The API key that /predict requires. Raises ServiceError when there is none yet."""
    key = find_api_key(settings)
    if not key:
        raise ServiceError("there is no API key yet", f"run `tick up`, or set {API_KEY_NAME}")
    return key
