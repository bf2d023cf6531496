"""`tick demo`: the whole platform once, from history to a prediction, with real services in a
its own folder.
"""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command("demo", rich_help_panel="First steps")(demo)


def demo(
    feed: Annotated[
        str | None,
        typer.Option(help="your own file or quoted glob instead of the synthetic live feed"),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            min=0.0,
            help=(
                "with --feed: event time per wall time, e.g. 60; the synthetic feed runs in real"
                " time"
            ),
        ),
    ] = 1.0,
    keep: Annotated[bool, typer.Option("--keep", help="leave the platform running")] = False,
    days: Annotated[
        int, typer.Option(min=9, max=60, help="days of synthetic history to train on")
    ] = 16,
    live_s: Annotated[
        float, typer.Option(min=20, max=3600, help="seconds of the synthetic live feed")
    ] = 75.0,
) -> None:
    """Start everything, make history, train, replay a live feed, ask for predictions, print a
    table, stop everything.

    State goes to TICK_HOME/demo, which is emptied first: your own platform is not touched (but
    needs other ports, or to be down).
    """
    from rich.console import Console

    from cli import demo_steps, isolated_home
    from cli.reports import demo_report

    settings = isolated_home.fresh("demo")
    console = Console(highlight=False)
    try:
        outcome = demo_steps.play(settings, feed, speed, days, live_s, console)
        demo_report.show(console, outcome)
    finally:
        if keep:
            console.print(
                f"\nleft running: TICK_HOME={settings.root} tick status   (stop it with:"
                f" TICK_HOME={settings.root} tick down)"
            )
        else:
            demo_steps.stop(settings)
    if not outcome.complete:
        raise typer.Exit(1)
