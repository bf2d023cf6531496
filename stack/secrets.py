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


def api_key(settings: Settings) -> str:
    """The key that /predict needs. Raises ServiceError when there is none yet."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    file = paths.secrets_file(settings)
    for line in file.read_text().splitlines() if file.exists() else ():
        name, _, value = line.partition("=")
        if name == NAME and value:
            return value
    raise ServiceError("there is no API key yet", f"run `tick up`, or set {NAME}")
