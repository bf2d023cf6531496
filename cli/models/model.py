"""`tick model …`: the versions of a model, which of them is Production, and trials of another one
alongside it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.models.train import From, To, micros

if TYPE_CHECKING:
    from models.registry import ModelVersion
    from models.runtime import Manifest

model_app = typer.Typer(
    help="See and move the Production version of the tick model, or of another one (--name).",
    no_args_is_help=True,
)
Name = Annotated[
    str | None,
    typer.Option("--name", help="registered model; default: the tick model", show_default=False),
]
Number = Annotated[str, typer.Argument(help="version number, see `tick model list`")]


def register(app: typer.Typer) -> None:
    """Add `model` to the command line."""
    app.add_typer(model_app, name="model", rich_help_panel="The model")


@model_app.command("list")
def list_versions(name: Name = None) -> None:
    """Every registered version, newest first."""
    from rich.console import Console
    from rich.table import Table

    from contracts.config.settings import settings
    from models import registry

    table = Table(
        "version",
        "stage",
        "alias",
        "registered (UTC)",
        "Sharpe",
        "drawdown",
        title=name or settings().model_name,
    )
    for version in registry.list_versions(settings(), name):
        alias = registry.ALIAS if version.production else ""
        numbers = (version.tags.get("sharpe", "–"), version.tags.get("max_drawdown", "–"))
        table.add_row(version.version, version.stage, alias, _utc(version.created_us), *numbers)
    Console().print(table)


@model_app.command("show")
def show(
    version: Annotated[str | None, typer.Argument(help="default: the Production version")] = None,
    name: Name = None,
) -> None:
    """One version: where it comes from, its tags, and whether its file still is the registered
    one."""
    from rich.console import Console
    from rich.table import Table

    from contracts.config.settings import settings
    from contracts.errors import RegistryError
    from models import registry, runtime

    found = (
        registry.get_version(settings(), version, name)
        if version
        else registry.production_version(settings(), name)
    )
    if found is None:
        raise RegistryError(
            f"{name or settings().model_name} has no Production version",
            "train one (`tick train --help`), or name a version",
        )
    resolved = registry.fetch_version(settings(), found)
    manifest = runtime.verify_manifest(resolved.path, resolved.digest)
    table = Table("", "", show_header=False, title=f"{found.name} version {found.version}")
    facts = {
        "stage": found.stage,
        "registered": _utc(found.created_us),
        "run": found.run_id,
        "file": str(resolved.path),
        **found.tags,
    }
    facts |= {"trained on": manifest.trained_on} | _input(manifest)
    for fact, value in facts.items():
        table.add_row(fact, value)
    Console().print(table)


@model_app.command("promote")
def promote(version: Number, name: Name = None) -> None:
    """Make a version that passed the gate Production; the one before is archived."""
    from contracts.config.settings import settings
    from models import registry

    _moved(registry.promote(settings(), version, name))


@model_app.command("rollback")
def rollback(name: Name = None) -> None:
    """Give Production back to the version before the present one."""
    from contracts.config.settings import settings
    from models import registry

    _moved(registry.rollback(settings(), name))


@model_app.command("retire")
def retire(name: Name = None) -> None:
    """Leave no version in Production, e.g. when the present one can no longer be trusted."""
    from rich.console import Console

    from contracts.config.settings import settings
    from models import registry

    registry.retire(settings(), name)
    Console().print(f"{name or settings().model_name}: no version is Production now")


@model_app.command("history")
def history(name: Name = None) -> None:
    """Who made which version Production, and when: promotions, rollbacks, retirements, newest
    first.
    """
    from rich.console import Console
    from rich.table import Table

    from contracts.config.settings import settings
    from models import registry

    table = Table("when (UTC)", "what", "version", "before", "by", box=None)
    for event in registry.list_events(settings(), name):
        table.add_row(
            _utc(event.at_us), event.action, event.version or "–", event.before or "–", event.by
        )
    Console().print(table if table.rows else "Production was never changed")


@model_app.command("challenge")
def challenge(
    version: Annotated[
        str | None, typer.Argument(help="a version that passed the gate", show_default=False)
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="end the trial instead")] = False,
    name: Name = None,
) -> None:
    """Try a version alongside Production: on the same live features, in the shadow, or for
    TICK_CHALLENGER_SHARE of the symbols.

    Both are recorded; `tick model compare` joins them with the actual outcome. Running APIs take it
    up within a second.
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from models import registry

    if (version is None) is not end:
        raise typer.BadParameter("name a version, or say --end")
    registry.set_challenger(settings(), version, name)
    Console().print(
        "the trial has ended"
        if end
        else f"version {version} is tried alongside Production: `tick model compare`"
    )


@model_app.command("compare")
def compare(
    start: From = None,
    end: To = None,
    champion: Annotated[str | None, typer.Option(help="default: the Production version")] = None,
    challenger: Annotated[
        str | None, typer.Option(help="default: the version that is tried")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="write duel.png and duel.json to this folder"),
    ] = None,
) -> None:
    """Compare two versions on the moments both answered, by what the market did afterwards: error,
    IC, and net return.

    Needs `gold.predictions`, which the live job writes. Exit code 0: compared. 1: there is too
    little to compare.
    """
    from rich.console import Console

    from cli.reports.champion_challenger import show, write
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from training.monitoring import champion_challenger

    last_us = micros(end) or now_us()
    first_us = micros(start) or last_us - 7 * 86_400_000_000
    found = champion_challenger.compare_versions(
        settings(), first_us, last_us, champion, challenger
    )
    show(Console(highlight=False), found)
    if out is not None:
        write(out, found)


def _moved(version: "ModelVersion") -> None:
    from rich.console import Console

    Console().print(f"{version.name}: version {version.version} is Production now")


def _input(manifest: "Manifest") -> dict[str, str]:
    if manifest.shape:
        return {"takes": f"pixels of shape {manifest.shape}", "answers": ", ".join(manifest.labels)}
    return {"last label": _utc(manifest.trained_to_us), "features": ", ".join(manifest.features)}


def _utc(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
