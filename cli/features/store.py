"""`tick features …` and `tick online …`: features, the Feast repository, and the online
store.
"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.features import examples
from contracts.errors import TickError

if TYPE_CHECKING:
    from contracts.features import Column

PANEL = "The feature store"

features = typer.Typer(
    help="The features: definitions, tests, Feast repository.", no_args_is_help=True
)
online = typer.Typer(
    help="The online store: its freshness, and rebuilding it.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add these groups to `tick`."""
    app.add_typer(features, name="features", rich_help_panel=PANEL)
    app.add_typer(online, name="online", rich_help_panel=PANEL)


@features.command("list")
def list_features(
    core: Annotated[bool, typer.Option("--core", help="only those that the model uses")] = False,
) -> None:
    """List every published feature with its view, window, unit and whether the model uses it."""
    from contracts.features import COLUMNS
    from contracts.windows import LABELS

    table = Table("feature", "view", "window", "unit", "core")
    for column in COLUMNS:
        if column.core or not core:
            table.add_row(
                column.name,
                column.view,
                LABELS.get(column.window_s, "–"),
                column.unit,
                "●" if column.core else "",
            )
    Console().print(table)


@features.command()
def show(
    name: Annotated[
        str, typer.Argument(help="as in `tick features list`, such as flow_imbalance_5m")
    ],
) -> None:
    """Show one feature: formula, null rule, unit, tolerance and source."""
    table = Table(show_header=False, box=None)
    for label, value in _describe_column(_find_column(name)).items():
        table.add_row(label, value)
    Console(highlight=False).print(table, markup=False)


def _find_column(name: str) -> "Column":
    from contracts.features import COLUMNS

    column = next((column for column in COLUMNS if column.name == name), None)
    if column is None:
        similar = [column.name for column in COLUMNS if name in column.name][:5]
        raise TickError(
            f"unknown feature {name!r}",
            f"did you mean {', '.join(similar)}?" if similar else "`tick features list` lists all",
        )
    return column


def _describe_column(column: "Column") -> dict[str, str]:
    from contracts.features import FEATURES

    lines = {
        "feature": column.name,
        "view": column.view,
        "window s": str(column.window_s or "–"),
        "unit": column.unit,
        "core": "yes" if column.core else "no",
        "tolerance": f"1e-9 · max(|x|, {column.scale:g})",
    }
    base_name = column.name.rsplit("_", 1)[0]
    feature = next((feature for feature in FEATURES if feature.name == base_name), None)
    if feature is not None:
        lines |= {
            "formula": feature.formula,
            "null if": feature.null_if or "never, once warm",
            "source": feature.source or "–",
        }
    return lines


@features.command()
def page() -> None:
    """Print the page docs/features.md, which is generated from the definitions."""
    from cli.reports.features_page import features_page

    typer.echo(features_page(), nl=False)


@features.command()
def apply() -> None:
    """Generate the Feast repository from the feature definitions and apply it. Safe to repeat."""
    from contracts.config.settings import settings
    from feature_store.feast_repo import objects as feast_objects

    with Console(stderr=True).status("applying (Feast takes seconds to load)"):
        names = feast_objects.apply(settings())
    Console().print(f"applied {', '.join(names)} → {settings().feast_repo}", soft_wrap=True)


features.command("test")(examples.test)
features.command("try")(examples.try_formula)


@online.command()
def rebuild() -> None:
    """Fill Redis from the lakehouse: the newest row per symbol and view. Safe alongside the live
    stream.
    """
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from feature_store.online.rebuild import rebuild as rebuild_store

    with Console(stderr=True).status("reading the lakehouse"):
        result = rebuild_store(settings(), now_us())
    Console().print(f"wrote {result.written} rows; Redis already had {result.older} newer ones")


@online.command()
def status() -> None:
    """Counters of the online writer, and how fresh its rows were when they became readable."""
    import redis

    from contracts.config.settings import settings
    from feature_store.online import writer_stats
    from feature_store.online.store import connect

    try:
        with connect(settings()) as client:
            report = writer_stats.read(client)
    except redis.RedisError as error:
        raise TickError(f"Redis does not respond: {error}", "start it with `tick up`") from error
    table = Table("online writer", "")
    for name in type(report.counters).__dataclass_fields__:
        table.add_row(name, str(getattr(report.counters, name)))
    for name, value in (("freshness p50 ms", report.p50_ms), ("freshness p99 ms", report.p99_ms)):
        table.add_row(name, "–" if value is None else f"{value:.0f}")
    Console().print(table)
