"""The API key: from TICK_API_KEY, else generated once into HOME/secrets.env, which only its owner can read."""

import os
import secrets

from contracts import paths
from contracts.errors import ServiceError
from contracts.settings import Settings

KEY_BYTES = 32
NAME = "TICK_API_KEY"


def ensure(settings: Settings) -> None:
    """Generate the key unless the settings name one or it was generated before."""
    file = paths.secrets_file(settings)
    if settings.api_key is not None or file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(f"{NAME}={secrets.token_urlsafe(KEY_BYTES)}\n")
    partial.replace(file)


def stored(settings: Settings) -> str | None:
    """The key of the settings or of HOME/secrets.env, if there is one."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    file = paths.secrets_file(settings)
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.removeprefix(f"{NAME}=") for line in lines if line.startswith(f"{NAME}=")), None)


def api_key(settings: Settings) -> str:
    """The key that /predict needs. Raises ServiceError when there is none yet."""
    key = stored(settings)
    if not key:
        raise ServiceError("there is no API key yet", f"run `tick up`, or set {NAME}")
    return key
