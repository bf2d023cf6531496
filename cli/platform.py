"""`tick up | down | status | logs | doctor | open | jars | run | ready | init`: the local
services."""

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from stack.process.service import ServiceStatus

LOG_POLL_S = 0.3
STATE_STYLE = {"ready": "green", "not ready": "yellow", "died": "bold red", "off": "dim"}
PANEL = "The services"


class Page(StrEnum):
    """What `tick open` can show."""

    MLFLOW = "mlflow"
    FLINK = "flink"
    API = "api"
    LIVE = "live"


def register(app: typer.Typer) -> None:
    """Add these commands to `tick`."""
    commands: dict[str, Callable[..., None]] = {
        "up": up,
        "down": down,
        "status": status,
        "logs": logs,
    }
    commands |= {
        "doctor": doctor,
        "open": open_page,
        "jars": jars,
        "run": run,
        "ready": ready,
        "init": init,
        "env": env,
    }
    for name, command in commands.items():
        app.command(name, rich_help_panel=PANEL)(command)


def up() -> None:
    """Start Kafka, Redis and Flink, and wait until all of them answer; the writer and the API too
    if they died.

    The first time this fetches about 160 MB of pinned jars. Running services are left alone and
    dead ones are started again, so it is always safe to repeat. Next: `tick job submit`.
    """
    from cli.reports.progress_bars import bars
    from contracts.config.settings import settings
    from stack import platform

    with bars() as report:
        platform.up(settings(), progress=report)
    status()


def down(
    services: Annotated[
        list[str] | None, typer.Argument(help="only these; default: everything that was started")
    ] = None,
) -> None:
    """Stop everything that was started here: API, writer, pages, Flink, Kafka, Redis. Data stays in
    TICK_HOME.
    """
    from contracts.config.settings import settings
    from stack import platform

    with Console(stderr=True).status("stopping"):
        stopped = platform.down(settings(), services)
    Console().print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def status() -> None:
    """Show every service: state, PID, ports, memory (used / limit, MB), time since start.

    States: ready, not ready (lives but does not answer), died (`tick up` starts it again; the
    MLflow page: `tick open mlflow`), off.
    """
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from stack import platform

    console = Console()
    console.print(_table(platform.status(settings(), now_us() / 1e6)))
    console.print(f"state and logs: {settings().root}", style="dim", soft_wrap=True)


def _table(rows: "list[ServiceStatus]") -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("service", "version", "state", "pid", "ports", "memory", "up"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        state = f"[{STATE_STYLE[row.state]}]{row.state}[/]"
        memory = (
            ""
            if row.memory_mb is None
            else f"{row.memory_mb}" + (f" / {row.memory_limit_mb}" if row.memory_limit_mb else "")
        )
        ports = " ".join(map(str, row.ports))
        pid, uptime = str(row.pid or ""), "" if row.uptime_s is None else _duration(row.uptime_s)
        table.add_row(row.name, row.version, state, pid, ports, memory, uptime)
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min"
        if hours
        else f"{minutes} min {rest:02} s"
        if minutes
        else f"{rest} s"
    )


def logs(
    service: Annotated[
        str | None,
        typer.Argument(
            help="kafka, redis, jobmanager, taskmanager, writer, api or mlflow; default: all"
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on as lines arrive, until Ctrl-C")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="how many lines from the end")
    ] = 40,
) -> None:
    """Print the end of the logs."""
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack import platform
    from stack.process.service import log_tail

    folder = paths.logs(settings())
    files = (
        [platform.find_service(settings(), service).log]
        if service
        else sorted(folder.glob("*.log"))
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for file in files:
        if len(files) > 1:
            console.print(f"==> {file} <==", style="bold")
        console.print(log_tail(file, lines))
    if follow:
        _follow(console, files)


def _follow(console: Console, files: list[Path]) -> None:
    """Print what is appended to these files, indefinitely. A file that shrank was set aside: start
    at its beginning.
    """
    read = {file: file.stat().st_size if file.exists() else 0 for file in files}
    while True:
        for file in files:
            size = file.stat().st_size if file.exists() else 0
            if size != read[file]:
                with file.open("rb") as stream:
                    stream.seek(read[file] if size > read[file] else 0)
                    console.print(stream.read().decode(errors="replace"), end="")
                    read[file] = stream.tell()
        time.sleep(LOG_POLL_S)


def doctor() -> None:
    """Check disk, memory, ports, versions and jars; every line says ok or what to do. Exits 1 when
    something must be done.
    """
    from contracts.config.settings import settings
    from stack.doctor import examine_machine

    findings = examine_machine(settings())
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[bold red]✗[/]"
        table.add_row(
            mark, finding.subject, finding.observed, "" if finding.ok else f"→ {finding.advice}"
        )
    Console().print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def run(
    service: Annotated[
        str,
        typer.Argument(help="writer, api, jobmanager, taskmanager, mlflow, airflow-scheduler …"),
    ],
) -> None:
    """Run one service here in the foreground, for containers and init systems; `tick up` is for
    people.

    It becomes this very process: signals reach it, its log is what it prints.
    """
    from contracts.config.settings import settings
    from stack.process import foreground

    foreground.exec_service(settings(), service)


def ready(service: Annotated[str, typer.Argument(help="as for `tick run`")]) -> None:
    """Exit code 0 when the service answers, else 1: the health check of a container."""
    from contracts.config.settings import settings
    from contracts.errors import ServiceError
    from stack import platform

    if not platform.find_service(settings(), service).ready():
        hint = f"see `tick status` and `tick logs {service}`"
        raise ServiceError(f"{service} does not answer", hint)


def init(
    airflow: Annotated[
        bool, typer.Option("--airflow", help="Airflow's tables, pools and secrets instead")
    ] = False,
) -> None:
    """Make what the services need before they start: Kafka's topics, the lakehouse's tables, the
    Feast repository.

    `tick up` and `tick job submit` do it by themselves; this is for services that someone else
    starts. Safe to repeat.
    """
    from cli.reports.progress_bars import bars
    from contracts.config.settings import settings
    from stack.process import foreground

    if airflow:
        foreground.initialize_airflow(settings())
        return
    with bars() as report:
        foreground.initialize_platform(settings(), report)


def env(
    file: Annotated[
        Path, typer.Option(dir_okay=False, help="where Docker Compose looks for it")
    ] = Path(".env"),
) -> None:
    """Write the .env of docker-compose.yml: generated secrets that only you can read. What the file
    holds already stays.
    """
    from stack import compose_env

    added = compose_env.complete_env(file)
    Console().print(
        f"{file}: added {', '.join(added)}" if added else f"{file} has everything", soft_wrap=True
    )


def open_page(
    page: Annotated[
        Page, typer.Argument(help="mlflow is started if it does not run; `tick down` stops it")
    ],
) -> None:
    """Print the address of a page: experiments and models (mlflow), the stream (flink), the API's
    own pages (api, live).
    """
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack import platform
    from stack.services import own as own_services

    now = settings()
    if page is Page.MLFLOW and own_services.mlflow_url(now) != paths.mlflow_uri(now):
        with Console(stderr=True).status("starting the MLflow page"):
            platform.start(now, "mlflow")
    address = {Page.MLFLOW: own_services.mlflow_url(now), Page.FLINK: now.flink_url}
    address |= {Page.API: f"{now.api_url}/docs", Page.LIVE: f"{now.api_url}/live"}
    Console().print(address[page])
    if page in (Page.API, Page.LIVE) and not now.api_open:
        hint = (
            "a browser asks for a name, which may be any, and a password: the API key,"
            f" TICK_API_KEY in {paths.secrets_file(now)}"
        )
        Console(stderr=True).print(hint, style="dim", soft_wrap=True)


def jars(
    relock: Annotated[
        bool,
        typer.Option(
            "--relock", help="for maintainers: resolve again and rewrite the list of pinned jars"
        ),
    ] = False,
) -> None:
    """Fetch the pinned jars into the cache and verify every one; damaged or half ones are fetched
    again.
    """
    from cli.reports.progress_bars import bars
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack import bounded_value
    from stack import jars as pinned

    with bars() as report:
        if relock:
            pinned.relock(report)
        pinned.ensure_downloaded(settings(), report)
        bounded_value.ensure_compiled(settings())
    count = sum(len(pinned.locked(role)) for role in pinned.roles(settings()))
    Console().print(f"{count} jars, all as pinned, in {paths.jars(settings())}")
