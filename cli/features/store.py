"""`tick features …` and `tick online …`: features, the Feast repository, and the online
store.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.features import examples
from cli.tables import build_list, build_table, format_optional
from contracts.errors import TickError

if TYPE_CHECKING:
    from collections.abc import Iterable

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

    listed = (column for column in COLUMNS if column.core or not core)
    rows = map(_column_cells, listed)
    titles = ("feature", "view", "window", "unit", "core")
    Console().print(build_table(titles, rows))


def _column_cells(column: "Column") -> tuple[str, ...]:
    from contracts.windows import LABELS

    window = LABELS.get(column.window_s, "–")
    return column.name, column.view, window, column.unit, "●" if column.core else ""


@features.command()
def show(
    name: Annotated[
        str, typer.Argument(help="as in `tick features list`, such as flow_imbalance_5m")
    ],
) -> None:
    """Show one feature: formula, null rule, unit, tolerance and source."""
    description = _describe_column(_find_column(name))
    Console(highlight=False).print(build_list(description, box=None), markup=False)


def _find_column(name: str) -> "Column":
    from contracts.features import COLUMNS

    by_name = {column.name: column for column in COLUMNS}
    if name not in by_name:
        raise TickError(f"unknown feature {name!r}", _suggest_names(name, by_name))
    return by_name[name]


def _suggest_names(part: str, names: "Iterable[str]") -> str:
    similar = [name for name in names if part in name][:5]
    return f"did you mean {', '.join(similar)}?" if similar else "`tick features list` lists all"


def _describe_column(column: "Column") -> dict[str, str]:
    return {
        "feature": column.name,
        "view": column.view,
        "window s": str(column.window_s or "–"),
        "unit": column.unit,
        "core": "yes" if column.core else "no",
        "tolerance": f"1e-9 · max(|x|, {column.scale:g})",
        **_describe_formula(column.name.rsplit("_", 1)[0]),
    }


def _describe_formula(name: str) -> dict[str, str]:
    """The definition of a feature; nothing for a column of the context, which has none."""
    from contracts.features import FEATURES

    feature = {feature.name: feature for feature in FEATURES}.get(name)
    if feature is None:
        return {}
    return {
        "formula": feature.formula,
        "null if": feature.null_if or "never, once warm",
        "source": feature.source or "–",
    }


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
    lines = {
        **{name: str(count) for name, count in asdict(report.counters).items()},
        "freshness p50 ms": format_optional(report.p50_ms, "{:.0f}"),
        "freshness p99 ms": format_optional(report.p99_ms, "{:.0f}"),
    }
    Console().print(build_table(("online writer", ""), lines.items()))
