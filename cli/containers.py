"""`tick run | ready | init | env`: run the services in containers or under an init system."""

from pathlib import Path
from typing import Annotated

import typer

PANEL = "The services"


def register(app: typer.Typer) -> None:
    """Add these commands to `tick`."""
    app.command("run", rich_help_panel=PANEL)(run_service)
    app.command("ready", rich_help_panel=PANEL)(check_ready)
    app.command("init", rich_help_panel=PANEL)(initialize)
    app.command("env", rich_help_panel=PANEL)(write_env)


def run_service(
    service: Annotated[
        str,
        typer.Argument(help="writer, api, jobmanager, taskmanager, mlflow, airflow-scheduler …"),
    ],
) -> None:
    """Run one service in the foreground, for containers and init systems. On your own machine use
    `tick up`.

    This process becomes the service: it receives the signals and writes the log to its output.
    """
    from contracts.config.settings import settings
    from stack.process import foreground

    foreground.exec_service(settings(), service)


def check_ready(service: Annotated[str, typer.Argument(help="as for `tick run`")]) -> None:
    """Exit code 0 when the service responds, else 1: the health check of a container."""
    from contracts.config.settings import settings
    from contracts.errors import ServiceError
    from stack import platform

    if not platform.find_service(settings(), service).ready():
        hint = f"see `tick status` and `tick logs {service}`"
        raise ServiceError(f"{service} does not respond", hint)


def initialize(
    airflow: Annotated[
        bool, typer.Option("--airflow", help="Airflow's tables, pools and secrets instead")
    ] = False,
) -> None:
    """Create what the services need before they start: Kafka's topics, the lakehouse's tables, the
    Feast repository.

    `tick up` and `tick job submit` include it; use this when another program starts the services.
    Safe to repeat.
    """
    from cli.reports.progress_bars import progress_bars
    from contracts.config.settings import settings
    from stack.process import foreground

    if airflow:
        foreground.initialize_airflow(settings())
        return
    with progress_bars() as report:
        foreground.initialize_platform(settings(), report)


def write_env(
    file: Annotated[
        Path, typer.Option(dir_okay=False, help="the file that Docker Compose reads")
    ] = Path(".env"),
) -> None:
    """Write the .env of docker-compose.yml: generated secrets, readable by you only. Variables that
    the file already has stay as they are.
    """
    from rich.console import Console

    from stack import compose_env

    added = compose_env.complete_env(file)
    Console().print(
        f"{file}: added {', '.join(added)}" if added else f"{file} is complete",
        soft_wrap=True,
        markup=False,
    )
