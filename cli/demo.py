"""`tick demo`: the whole platform once, from history to a prediction, with real services in its own
folder.
"""

from typing import Annotated

import typer

Feed = Annotated[
    str | None,
    typer.Option(help="your own file or quoted glob instead of the synthetic live feed"),
]
Speed = Annotated[
    float,
    typer.Option(
        min=0.0,
        help=(
            "with --feed: event time per wall time, e.g. 60; the synthetic feed runs in real time"
        ),
    ),
]
Days = Annotated[
    int, typer.Option(min=9, max=60, help="days of synthetic history for the training")
]
LiveSeconds = Annotated[
    float, typer.Option(min=20, max=3600, help="seconds of the synthetic live feed")
]


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command("demo", rich_help_panel="First steps")(demo)


def demo(
    feed: Feed = None,
    speed: Speed = 1.0,
    keep: Annotated[bool, typer.Option("--keep", help="leave the platform running")] = False,
    days: Days = 16,
    live_s: LiveSeconds = 75.0,
) -> None:
    """Start everything, load history, train, replay a live feed, request predictions, print a
    table, stop everything.

    State goes to TICK_HOME/demo, which is emptied first. Your own platform is not changed, but must
    be down or use other ports.
    """
    from rich.console import Console

    from cli.exit_codes import FAILED, exit_if
    from cli.isolated_home import create_isolated_home
    from cli.reports.demo_report import print_report
    from cli.reports.progress_bars import progress_bars
    from stack import platform
    from stack.demo import DemoOptions, run_demo

    settings = create_isolated_home("demo")
    console = Console(highlight=False)
    try:
        with progress_bars() as progress:
            report = run_demo(settings, DemoOptions(feed, speed, days, live_s), progress)
        console.print()
        print_report(console, report)
    finally:
        if keep:
            platform.start(settings, "maintenance")
            platform.supervise(settings)
            console.print(
                f"\nleft running: TICK_HOME={settings.root} tick status   (stop it with:"
                f" TICK_HOME={settings.root} tick down)"
            )
        else:
            platform.down(settings)
    exit_if(not report.complete, FAILED)
