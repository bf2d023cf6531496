"""`tick model …`: versions of a model, the Production version, and the challenger."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.models.train import From, To
from cli.tables import build_list, build_table
from cli.times import format_us, us_or_default

if TYPE_CHECKING:
    from models.audit import Event
    from models.runtime import Manifest
    from models.versions import ModelVersion

model_app = typer.Typer(
    help="Show and change the Production version of the tick model, or of another one (--name).",
    no_args_is_help=True,
)
Name = Annotated[
    str | None,
    typer.Option("--name", help="registered model; default: the tick model", show_default=False),
]
Number = Annotated[str, typer.Argument(help="version number, see `tick model list`")]
COMPARED_US = 7 * 86_400_000_000  # default range of `tick model compare`


def register(app: typer.Typer) -> None:
    """Add `model` to the command line."""
    app.add_typer(model_app, name="model", rich_help_panel="The model")


@model_app.command("list")
def list_versions(name: Name = None) -> None:
    """List every registered version, newest first."""
    from rich.console import Console

    from contracts.config.settings import settings
    from models.registry import Registry

    columns = ("version", "stage", "alias", "registered (UTC)", "Sharpe", "drawdown")
    rows = map(_version_cells, Registry(settings(), name).list_versions())
    title = name or settings().model_name
    Console().print(build_table(columns, rows, title=title))


def _version_cells(version: "ModelVersion") -> tuple[str, ...]:
    from models.versions import PRODUCTION_ALIAS

    return (
        version.version,
        version.stage,
        PRODUCTION_ALIAS if version.production else "",
        format_us(version.created_us),
        version.tags.get("sharpe", "–"),
        version.tags.get("max_drawdown", "–"),
    )


@model_app.command("show")
def show(
    version: Annotated[str | None, typer.Argument(help="default: the Production version")] = None,
    name: Name = None,
) -> None:
    """Show one version: its provenance and tags. Verifies that its file is the registered one."""
    from rich.console import Console
    from rich.markup import escape

    from contracts.config.settings import settings
    from models import runtime
    from models.registry import Registry

    registry = Registry(settings(), name)
    hint = "train one (`tick train --help`), or choose a version of `tick model list`"
    entry = registry.get_version(version) if version else registry.require_production(hint)
    files = registry.fetch_version(entry)
    manifest = runtime.verify_manifest(files.path, files.digest)
    lines = {
        "stage": entry.stage,
        "registered": format_us(entry.created_us),
        "run": entry.run_id,
        "file": str(files.path),
        **entry.tags,
        "trained on": manifest.trained_on,
        **_describe_input(manifest),
    }
    title = f"{entry.name} version {entry.version}"
    escaped = {escape(label): escape(value) for label, value in lines.items()}
    Console().print(build_list(escaped, title=title))


@model_app.command("promote")
def promote(version: Number, name: Name = None) -> None:
    """Make a version that passed the gate Production; the previous one is archived."""
    from contracts.config.settings import settings
    from models.registry import Registry

    _print_production(Registry(settings(), name).promote(version))


@model_app.command("rollback")
def rollback(name: Name = None) -> None:
    """Make the previous Production version Production again."""
    from contracts.config.settings import settings
    from models.registry import Registry

    _print_production(Registry(settings(), name).roll_back())


@model_app.command("retire")
def retire(name: Name = None) -> None:
    """Leave no version in Production, e.g. when the current one is no longer reliable."""
    from rich.console import Console

    from contracts.config.settings import settings
    from models.registry import Registry

    Registry(settings(), name).retire()
    Console().print(f"{name or settings().model_name}: no version is Production now")


@model_app.command("history")
def history(name: Name = None) -> None:
    """List the promotions, rollbacks and retirements with time and user, newest first."""
    from rich.console import Console

    from contracts.config.settings import settings
    from models.registry import Registry

    columns = ("time (UTC)", "action", "version", "previous", "user")
    events = Registry(settings(), name).list_events()
    table = build_table(columns, map(_event_cells, events), box=None)
    Console().print(table if table.rows else "Production was never changed")


def _event_cells(event: "Event") -> tuple[str, ...]:
    version, before = event.version or "–", event.before or "–"
    return format_us(event.at_us), event.action, version, before, event.by


@model_app.command("challenge")
def challenge(
    version: Annotated[
        str | None,
        typer.Argument(
            help="a version of `tick model list` that passed the gate", show_default=False
        ),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="end the trial instead")] = False,
    name: Name = None,
) -> None:
    """Run a challenger next to Production: in shadow mode on the same live features, or serving
    TICK_CHALLENGER_SHARE of the symbols.

    The predictions of both are recorded; `tick model compare` joins them with the actual outcome.
    Running APIs load the challenger within a second.
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from models.registry import Registry

    if (version is None) is not end:
        raise typer.BadParameter("choose either a version of `tick model list` or --end")
    registry = Registry(settings(), name)
    if version is None:
        registry.remove_challenger()
        Console().print("the trial has ended")
    else:
        registry.set_challenger(version)
        Console().print(f"version {version} is the challenger now: `tick model compare`")


@model_app.command("compare")
def compare(
    start: From = None,
    end: To = None,
    production: Annotated[
        str | None,
        # --champion is the former name.
        typer.Option("--production", "--champion", help="default: the Production version"),
    ] = None,
    challenger: Annotated[str | None, typer.Option(help="default: the version on trial")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="write comparison.png and comparison.json to this folder"
        ),
    ] = None,
) -> None:
    """Compare two versions on the rows that both predicted with the actual outcome: error, IC, and
    net return.

    Needs `gold.predictions`, which the live job writes. Exit code 0: compared. 1: too few rows to
    compare.
    """
    from rich.console import Console

    from cli.reports.champion_challenger import print_comparison, write_comparison
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from training.monitoring import champion_challenger

    last_us = us_or_default(end, now_us())
    first_us = us_or_default(start, last_us - COMPARED_US)
    comparison = champion_challenger.compare_versions(
        settings(), first_us, last_us, production, challenger
    )
    print_comparison(Console(highlight=False), comparison)
    if out is not None:
        write_comparison(out, comparison)


def _print_production(version: "ModelVersion") -> None:
    from rich.console import Console

    Console().print(f"{version.name}: version {version.version} is Production now")


def _describe_input(manifest: "Manifest") -> dict[str, str]:
    if manifest.shape:
        return {
            "input": f"pixels of shape {manifest.shape}",
            "classes": ", ".join(manifest.labels),
        }
    return {
        "last label": format_us(manifest.trained_to_us),
        "features": ", ".join(manifest.features),
    }
