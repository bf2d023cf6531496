"""A systemd user unit that starts the platform at boot, and stops it in order at shutdown."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from contracts.config import paths
from contracts.config.settings import Settings
from stack.platform import STOP_ORDER
from stack.process.pids import KILL_TIMEOUT_S
from stack.services.project_services import settings_env

NAME = "lakehouse-tick.service"
# The first start also downloads the pinned jars.
DOWNLOAD_TIMEOUT_S = 900
# `tick up` waits for the platform, then for the services that had died.
WAITS = 2

TEMPLATE = """\
[Unit]
Description=lakehouse-tick: Kafka, Flink, Redis and what runs with them
# Settings of the shell in which `tick units` ran. Secrets are not among them: write those that the
# platform needs, one NAME=value per line, to {secrets} (mode 0600).
{left_out}
[Service]
# `tick up` returns when all services are ready. They, and the supervisor that restarts them, belong
# to this unit.
Type=oneshot
RemainAfterExit=yes
WorkingDirectory={folder}
{environment}
EnvironmentFile=-{secrets}
UMask=0077
ExecStart={tick} up
ExecStop={tick} down --for-reboot
TimeoutStartSec={start_s:.0f}
TimeoutStopSec={stop_s:.0f}

[Install]
WantedBy=default.target
"""


def render(settings: Settings) -> str:
    """The unit of the platform with these settings."""
    values, secrets = _set_variables(settings)
    lines = (f'Environment="{_escape(f"{name}={value}")}"' for name, value in values.items())
    return TEMPLATE.format(
        secrets=_escape_path(secrets_file(settings)),
        left_out="".join(f"# Left out: {name}\n" for name in secrets),
        folder=_escape_path(paths.project(settings)),
        environment="\n".join(lines),
        tick=_command((sys.executable, "-m", "cli.main")),
        start_s=WAITS * settings.start_timeout_s + DOWNLOAD_TIMEOUT_S,
        stop_s=(len(STOP_ORDER) + 1) * (settings.stop_timeout_s + KILL_TIMEOUT_S),
    )


def folder() -> Path:
    """Where systemd looks for the units of this user."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "systemd" / "user"


def secrets_file(settings: Settings) -> Path:
    """File with the secrets of the unit, in the form that systemd reads."""
    return settings.root / "units.env"


def _set_variables(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """Variables of the settings that are not defaults, and the names of those that are secret."""
    env = settings_env(settings)
    names = {f"TICK_{name.upper()}": name for name in sorted(settings.model_fields_set)}
    secrets = [name for name, field in names.items() if _is_secret(getattr(settings, field))]
    open_names = {"TICK_HOME", "TICK_CACHE", *names}.difference(secrets)
    return {name: env[name] for name in sorted(open_names) if name in env}, secrets


def _is_secret(value: object) -> bool:
    """Whether it is a secret, or the address of a database with a password."""
    if isinstance(value, SecretStr):
        return True
    return isinstance(value, str) and "://" in value and urlsplit(value).password is not None


def _command(words: Iterable[str]) -> str:
    return " ".join(f'"{_escape(word).replace("$", "$$")}"' for word in words)


def _escape(text: str) -> str:
    """Escape text for a quoted value: systemd expands `%` and backslashes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped.replace("\n", "\\n")


def _escape_path(path: Path) -> str:
    return str(path).replace("%", "%%")
