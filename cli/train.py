"""`tick train …` and `tick model …`: train a model, read the gate's verdict, see and move the Production version."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli import power, vision

if TYPE_CHECKING:
    from rich.console import Console

    from models.registry import Version
    from models.runtime import Manifest
    from training.pipeline import TrainResult

REFUSED = 3
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]

train_app = typer.Typer(help="Train a model and let the gate decide.", no_args_is_help=True)
model_app = typer.Typer(help="See and move the Production version of the tick model, or of another one (--name).", no_args_is_help=True)
From = Annotated[datetime | None, typer.Option("--from", formats=FORMATS, help="first decision, UTC; default: the oldest data")]
To = Annotated[datetime | None, typer.Option("--to", formats=FORMATS, help="no decision at or after this, UTC; default: now")]
Name = Annotated[str | None, typer.Option("--name", help="registered model; default: the tick model", show_default=False)]
Number = Annotated[str, typer.Argument(help="version number, see `tick model list`")]


def register(app: typer.Typer) -> None:
    """Add `train` and `model` to the command line."""
    train_app.command("power")(power.train)
    train_app.command("mnist")(vision.mnist)
    train_app.command("cifar10")(vision.cifar10)
    app.add_typer(train_app, name="train", rich_help_panel="The model")
    app.add_typer(model_app, name="model", rich_help_panel="The model")


@train_app.callback()
def _group() -> None:
    """Train a model and let the gate decide."""


@train_app.command("tick")
def tick(start: From = None, end: To = None) -> None:
    """Train the tick model on the lakehouse and promote it if the gate lets it pass.

    It needs ticks and features of more than seven full UTC days: the last seven are kept for the gate (`tick backfill`).

    Exit code 0: the model is Production now. 3: trained, and honestly refused; the table says why. 1: it could not be trained.
    """
    from rich.console import Console

    from cli import train_report
    from cli.bars import bars
    from contracts.settings import settings
    from training.pipeline import train_tick

    with bars() as report:
        result = train_tick(settings(), _micros(start), _micros(end), report)
    console = Console()
    if result.walk_forward.folds:
        console.print(train_report.folds_table(result.walk_forward))
        console.print(train_report.walk_table(result.walk_forward))
    console.print(train_report.verdict_table(result.verdict))
    console.print(train_report.backtest_table(result))
    _conclude(console, result)
    if not result.promoted:
        raise typer.Exit(REFUSED)


@model_app.command("list")
def list_versions(name: Name = None) -> None:
    """Every registered version, newest first."""
    from rich.console import Console
    from rich.table import Table

    from contracts.settings import settings
    from models import registry

    table = Table("version", "stage", "alias", "registered (UTC)", "Sharpe", "drawdown", title=name or settings().model_name)
    for version in registry.versions(settings(), name):
        alias = registry.ALIAS if version.production else ""
        numbers = (version.tags.get("sharpe", "–"), version.tags.get("max_drawdown", "–"))
        table.add_row(version.version, version.stage, alias, _utc(version.created_us), *numbers)
    Console().print(table)


@model_app.command("show")
def show(version: Annotated[str | None, typer.Argument(help="default: the Production version")] = None, name: Name = None) -> None:
    """One version: where it comes from, its tags, and whether its file still is the registered one."""
    from rich.console import Console
    from rich.table import Table

    from contracts.errors import RegistryError
    from contracts.settings import settings
    from models import registry, runtime

    found = registry.get(settings(), version, name) if version else registry.current(settings(), name)
    if found is None:
        raise RegistryError(
            f"{name or settings().model_name} has no Production version", "train one (`tick train --help`), or name a version"
        )
    resolved = registry.fetch(settings(), found)
    manifest = runtime.verified(resolved.path, resolved.digest)
    table = Table("", "", show_header=False, title=f"{found.name} version {found.version}")
    facts = {"stage": found.stage, "registered": _utc(found.created_us), "run": found.run_id, "file": str(resolved.path), **found.tags}
    facts |= {"trained on": manifest.trained_on} | _input(manifest)
    for fact, value in facts.items():
        table.add_row(fact, value)
    Console().print(table)


@model_app.command("promote")
def promote(version: Number, name: Name = None) -> None:
    """Make a version that passed the gate Production; the one before is archived."""
    from contracts.settings import settings
    from models import registry

    _moved(registry.promote(settings(), version, name))


@model_app.command("rollback")
def rollback(name: Name = None) -> None:
    """Give Production back to the version before the present one."""
    from contracts.settings import settings
    from models import registry

    _moved(registry.rollback(settings(), name))


@model_app.command("retire")
def retire(name: Name = None) -> None:
    """Leave no version in Production, e.g. when the present one can no longer be trusted."""
    from rich.console import Console

    from contracts.settings import settings
    from models import registry

    registry.retire(settings(), name)
    Console().print(f"{name or settings().model_name}: no version is Production now")


@model_app.command("history")
def history(name: Name = None) -> None:
    """Who made which version Production, and when: promotions, rollbacks, retirements, newest first."""
    from rich.console import Console
    from rich.table import Table

    from contracts.settings import settings
    from models import registry

    table = Table("when (UTC)", "what", "version", "before", "by", box=None)
    for event in registry.history(settings(), name):
        table.add_row(_utc(event.at_us), event.action, event.version or "–", event.before or "–", event.by)
    Console().print(table if table.rows else "Production was never changed")


def _conclude(console: "Console", result: "TrainResult") -> None:
    low, high = result.sharpe_interval
    console.print(f"{result.train_rows:,} training and {result.test_rows:,} test rows from {result.trained_on}; MLflow run {result.run_id}")
    deflated = f"deflated Sharpe probability {result.dsr:.3g} ({result.trials} trials)"
    console.print(f"Sharpe 95 % interval {low:.3g} to {high:.3g} (stationary bootstrap); {deflated}")
    if result.walk_forward.note:
        console.print(f"[yellow]walk-forward: {result.walk_forward.note}[/]")
    console.print(f"the same rows again: `tick dataset rebuild {result.run_id}`")
    if result.planted:
        console.print("[yellow]The signal was planted: no impact, no capacity. Such Sharpes do not exist in a market.[/]")
    if result.promoted:
        console.print(f"[bold green]promoted[/]: version {result.version} is Production")
    else:
        console.print("[bold red]refused[/]: " + "; ".join(result.verdict.reasons))


def _moved(version: "Version") -> None:
    from rich.console import Console

    Console().print(f"{version.name}: version {version.version} is Production now")


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)


def _input(manifest: "Manifest") -> dict[str, str]:
    if manifest.shape:
        return {"takes": f"pixels of shape {manifest.shape}", "answers": ", ".join(manifest.labels)}
    return {"last label": _utc(manifest.trained_to_us), "features": ", ".join(manifest.features)}


def _utc(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
