"""`tick features …` and `tick online …`: the features, trials of new ones, their Feast repository,
and what is online.
"""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.features import examples
from contracts.errors import TickError

PANEL = "The feature store"

features = typer.Typer(
    help="The features: what they are, and their Feast repository.", no_args_is_help=True
)
online = typer.Typer(
    help="The online store: how fresh it is, and filling it again.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add these groups to `tick`."""
    app.add_typer(features, name="features", rich_help_panel=PANEL)
    app.add_typer(online, name="online", rich_help_panel=PANEL)


@features.command("list")
def list_features(
    core: Annotated[bool, typer.Option("--core", help="only those the model uses")] = False,
) -> None:
    """Every published feature with its view, window, unit and whether the model uses it."""
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
    """One feature: formula, null rule, unit, tolerance and source."""
    from contracts.features import COLUMNS, FEATURES

    column = next((c for c in COLUMNS if c.name == name), None)
    if column is None:
        near = [c.name for c in COLUMNS if name in c.name][:5]
        raise TickError(
            f"there is no feature {name!r}",
            f"did you mean {', '.join(near)}?" if near else "`tick features list` shows all",
        )
    table = Table(show_header=False, box=None)
    facts = {
        "feature": name,
        "view": column.view,
        "window s": str(column.window_s or "–"),
        "unit": column.unit,
    }
    facts |= {
        "core": "yes" if column.core else "no",
        "agrees within": f"1e-9 · max(|x|, {column.scale:g})",
    }
    feature = next((f for f in FEATURES if name.rsplit("_", 1)[0] == f.name), None)
    if feature is not None:
        facts |= {
            "formula": feature.formula,
            "null if": feature.null_if or "never, once warm",
            "source": feature.source or "–",
        }
    for fact, value in facts.items():
        table.add_row(fact, value)
    Console(highlight=False).print(table, markup=False)


@features.command()
def page() -> None:
    """Print the page docs/features.md, which is written from the definitions."""
    from cli.reports import features_page

    typer.echo(features_page.page(), nl=False)


@features.command()
def apply() -> None:
    """Write the Feast repository from the contracts and apply it. Safe to repeat."""
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
    from feature_store.online.rebuild import rebuild as fill

    with Console(stderr=True).status("reading the lakehouse"):
        done = fill(settings(), now_us())
    Console().print(f"wrote {done.written} rows; Redis already held {done.older} newer ones")


@online.command()
def status() -> None:
    """What the online writer has done, and how fresh its rows were when they became readable."""
    import redis

    from contracts.config.settings import settings
    from feature_store.online import writer_stats
    from feature_store.online.store import connect

    try:
        with connect(settings()) as client:
            report = writer_stats.read(client)
    except redis.RedisError as error:
        raise TickError(f"Redis does not answer: {error}", "start it with `tick up`") from error
    table = Table("online writer", "")
    for name in type(report.counters).__dataclass_fields__:
        table.add_row(name, str(getattr(report.counters, name)))
    for name, value in (("freshness p50 ms", report.p50_ms), ("freshness p99 ms", report.p99_ms)):
        table.add_row(name, "–" if value is None else f"{value:.0f}")
    Console().print(table)
