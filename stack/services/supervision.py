"""The supervisor as a service: the process that restarts services that died."""

import sys
from importlib.metadata import version

from contracts.config.groups.serving import ServingSettings
from stack.process.service import Service
from stack.services.project_services import settings_env

NAME = "supervisor"


def service(settings: ServingSettings) -> Service:
    """The supervisor; ready as soon as it runs. It restarts services with its own settings."""
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return Service(
        name=NAME,
        version=version("lakehouse-tick"),
        command=(sys.executable, "-m", "stack.supervisor"),
        ready=lambda: True,
        home=settings.root,
        env=settings_env(settings) | ({"TICK_API_KEY": key} if key else {}),
    )
