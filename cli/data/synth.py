"""`tick synth`: write the synthetic market to a Parquet file, for tests and experiments."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.times import FORMATS, TIME_METAVAR, us_or_default


def register(app: typer.Typer) -> None:
    """Add `synth` to the command line."""
    app.command("synth", rich_help_panel="The data")(synth)


def synth(
    out: Annotated[Path, typer.Argument(help="Parquet file to write")],
    preset: Annotated[str, typer.Option(help="demo (5 symbols) or fixture (3 symbols)")] = "demo",
    days: Annotated[float, typer.Option(min=0.0, help="length in days")] = 1.0,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=FORMATS,
            metavar=TIME_METAVAR,
            help="start time, UTC; default: so that it ends now",
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.0, help="trades per second and symbol")
    ] = None,
    ic: Annotated[float | None, typer.Option(help="planted signal; 0 = none")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of the random market")] = None,
) -> None:
    """Write synthetic ticks to a Parquet file (`tick history` writes them to the lakehouse). Their
    signal is planted: profits on it are not real.
    """
    from rich.console import Console

    from contracts.clock import now_us
    from streaming.feeds.formats import canonical
    from streaming.synthetic.market import generate, preset_with

    market = preset_with(preset, rate=rate, ic=ic, seed=seed)
    duration_s = days * 86_400
    start_us = us_or_default(start, now_us() - int(duration_s * 1e6))
    rows = canonical.write(out, generate(market, start_us, duration_s))
    Console().print(
        f"{rows:,} ticks of {', '.join(market.symbols)} in {out} (planted ic {market.ic})",
        markup=False,
    )
