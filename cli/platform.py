"""`tick up | down | status | doctor | open | jars | units`: the services on this machine."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.exit_codes import FAILED, exit_if
from cli.logs import logs
from cli.tables import build_table

if TYPE_CHECKING:
    from contracts.config.settings import Settings
    from stack.doctor import Finding
    from stack.process.service import ServiceStatus

STATE_STYLE = {
    "ready": "green",
    "not ready": "yellow",
    "died": "bold red",
    "FAILED": "bold red",
    "off": "dim",
}
STATUS_COLUMNS = ("service", "version", "state", "pid", "ports", "memory", "up")
PANEL = "The services"


class Page(StrEnum):
    """A page that `tick open` can show."""

    MLFLOW = "mlflow"
    FLINK = "flink"
    API = "api"
    LIVE = "live"


NEEDS_KEY = (Page.API, Page.LIVE)


def register(app: typer.Typer) -> None:
    """Add these commands to `tick`."""
    app.command("up", rich_help_panel=PANEL)(up)
    app.command("down", rich_help_panel=PANEL)(down)
    app.command("status", rich_help_panel=PANEL)(status)
    app.command("logs", rich_help_panel=PANEL)(logs)
    app.command("doctor", rich_help_panel=PANEL)(doctor)
    app.command("open", rich_help_panel=PANEL)(open_page)
    app.command("jars", rich_help_panel=PANEL)(download_jars)
    app.command("units", rich_help_panel=PANEL)(units)


def up(
    supervise: Annotated[
        bool,
        typer.Option(
            "--supervise/--no-supervise",
            help="start the supervisor, which restarts services that die and resumes the live job,"
            " and the maintenance of the tables",
        ),
    ] = True,
) -> None:
    """Start Kafka, Redis and Flink, and wait until all of them are ready. Restarts the writer and
    the API if they died.

    The first run downloads about 160 MB of pinned jars. Running services are left alone and dead
    ones are restarted, so it is always safe to repeat. Until `tick down`, the supervisor restarts
    whatever dies (`tick logs supervisor`), and the tables are kept small (`tick logs maintenance`).
    Next: `tick job submit`.
    """
    from cli.reports.progress_bars import progress_bars
    from contracts.config.settings import settings
    from stack import platform

    with progress_bars() as report:
        platform.up(settings(), progress=report)
    if supervise:
        platform.start(settings(), "maintenance")
        platform.supervise(settings())
    status()


def down(
    services: Annotated[
        list[str] | None, typer.Argument(help="only these; default: everything that was started")
    ] = None,
    for_reboot: Annotated[
        bool,
        typer.Option(
            "--for-reboot",
            help="the next `tick up` starts again what runs now, and continues the live job",
        ),
    ] = False,
) -> None:
    """Stop everything that was started here: supervisor, API, writer, maintenance, MLflow
    page, Airflow, Flink, Kafka, Redis. Data stays in TICK_HOME.
    """
    from contracts.config.settings import settings
    from stack import platform

    for unknown in sorted(set(services or ()).difference(platform.FACTORIES)):
        platform.find_service(settings(), unknown)  # raises, with the names of all services
    with Console(stderr=True).status("stopping"):
        stopped = platform.down(settings(), services, forget=not for_reboot)
    Console().print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def status() -> None:
    """Show every service: state, PID, ports, memory (used / limit, MB), time since start.

    States: ready, not ready (runs, but does not respond), died (the supervisor or `tick up`
    restarts it; the MLflow page: `tick open mlflow`), FAILED (died too often, the supervisor no
    longer restarts it: `tick logs SERVICE`, then `tick up`), off.
    """
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from stack import platform

    console = Console()
    console.print(_status_table(platform.status(settings(), now_us() / 1e6)))
    console.print(f"state and logs: {settings().root}", style="dim", soft_wrap=True)


def _status_table(services: "list[ServiceStatus]") -> Table:
    table = build_table(STATUS_COLUMNS, map(_status_cells, services), pad_edge=False, box=None)
    for column in table.columns:
        column.no_wrap = True
    return table


def _status_cells(service: "ServiceStatus") -> tuple[str, ...]:
    return (
        service.name,
        service.version,
        f"[{STATE_STYLE[service.state]}]{service.state}[/]",
        str(service.pid or ""),
        " ".join(map(str, service.ports)),
        _format_memory(service),
        "" if service.uptime_s is None else _format_duration(service.uptime_s),
    )


def _format_memory(service: "ServiceStatus") -> str:
    if service.memory_mb is None:
        return ""
    limit = f" / {service.memory_limit_mb}" if service.memory_limit_mb else ""
    return f"{service.memory_mb}{limit}"


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {rest:02} s"
    return f"{rest} s"


def doctor() -> None:
    """Check disk, memory, ports, versions and jars; every line is ok or comes with advice. Exit
    code 1 when a check failed.
    """
    from contracts.config.settings import settings
    from stack.doctor import examine_machine

    findings = examine_machine(settings())
    rows = map(_finding_cells, findings)
    Console().print(
        build_table(("", "", "", ""), rows, pad_edge=False, show_header=False, box=None)
    )
    exit_if(not all(finding.ok for finding in findings), FAILED)


def _finding_cells(finding: "Finding") -> tuple[str, ...]:
    if finding.ok:
        return "[green]ok[/]", finding.subject, finding.observed, ""
    return "[bold red]✗[/]", finding.subject, finding.observed, f"→ {finding.advice}"


def open_page(
    page: Annotated[
        Page,
        typer.Argument(help="mlflow is started unless it runs; `tick down` stops it"),
    ],
) -> None:
    """Print the address of a page: experiments and models (mlflow), the stream (flink), the pages
    of the API (api, live).
    """
    from contracts.config import paths
    from contracts.config.settings import settings

    if page is Page.MLFLOW:
        _start_mlflow_page(settings())
    Console().print(_page_address(settings(), page))
    if page in NEEDS_KEY and not settings().api_open:
        hint = (
            "the browser prompts for a user name (any) and a password: the API key, TICK_API_KEY in"
            f" {paths.secrets_file(settings())}"
        )
        Console(stderr=True).print(hint, style="dim", soft_wrap=True)


def _start_mlflow_page(settings: "Settings") -> None:
    """Start the local page, unless the settings name another MLflow server."""
    from contracts.config import paths
    from stack import platform
    from stack.services.project_services import mlflow_url

    if mlflow_url(settings) != paths.mlflow_uri(settings):
        with Console(stderr=True).status("starting the MLflow page"):
            platform.start(settings, "mlflow")


def _page_address(settings: "Settings", page: Page) -> str:
    from stack.services.project_services import mlflow_url

    addresses = {
        Page.MLFLOW: mlflow_url(settings),
        Page.FLINK: settings.flink_url,
        Page.API: f"{settings.api_url}/docs",
        Page.LIVE: f"{settings.api_url}/live",
    }
    return addresses[page]


def download_jars(
    relock: Annotated[
        bool,
        typer.Option(
            "--relock", help="for maintainers: resolve again and rewrite the list of pinned jars"
        ),
    ] = False,
) -> None:
    """Download the pinned jars into the cache and verify each one; damaged or partial ones are
    downloaded again.
    """
    from cli.reports.progress_bars import progress_bars
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack import bounded_value, jars

    with progress_bars() as report:
        if relock:
            jars.relock(report)
        jars.ensure_downloaded(settings(), report)
        bounded_value.ensure_compiled(settings())
    count = sum(len(jars.locked(role)) for role in jars.roles(settings()))
    Console().print(f"{count} jars, all as pinned, in {paths.jars(settings())}")


def units(
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="write it to ~/.config/systemd/user/, and print what to do next"
        ),
    ] = False,
) -> None:
    """Print a systemd user unit that starts this platform at boot.

    The unit runs `tick up`; its supervisor restarts services that die. At shutdown it runs
    `tick down --for-reboot`, so the next boot starts again what ran, and continues the live job.

    1. Set TICK_HOME and your other settings as for `tick up`: the unit gets them, except secrets.

    2. Write secrets, as NAME=value lines, to TICK_HOME/units.env, and `chmod 600` it.

    3. `tick units --write`, then the commands that it prints. `tick status` and
    `journalctl --user -u lakehouse-tick` show the result.
    """
    from contracts.config.settings import settings
    from stack import systemd_unit

    text = systemd_unit.render(settings())
    if not write:
        typer.echo(text, nl=False)
        return
    file = systemd_unit.folder() / systemd_unit.NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    Console(highlight=False, soft_wrap=True).print(
        f"{escape(str(file))}\n"
        "  systemctl --user daemon-reload\n"
        "  systemctl --user enable --now lakehouse-tick\n"
        "  loginctl enable-linger     (start at boot, without a login)"
    )
