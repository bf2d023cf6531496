"""`tick synth`: the synthetic exchange into a Parquet file, for tests, teaching and trying things
out.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def register(app: typer.Typer) -> None:
    """Add `synth` to the command line."""
    app.command("synth", rich_help_panel="The data")(synth)


def synth(
    out: Annotated[Path, typer.Argument(help="Parquet file to write")],
    preset: Annotated[str, typer.Option(help="demo (5 symbols) or fixture (3 symbols)")] = "demo",
    days: Annotated[float, typer.Option(min=0.0, help="length")] = 1.0,
    start: Annotated[
        datetime | None,
        typer.Option(formats=FORMATS, help="first moment, UTC; default: so that it ends now"),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.0, help="trades per second and symbol")
    ] = None,
    ic: Annotated[float | None, typer.Option(help="planted signal; 0 = none")] = None,
    seed: Annotated[int | None, typer.Option(help="another market")] = None,
) -> None:
    """Write synthetic ticks to a Parquet file (into the lakehouse: `tick history`). Their signal is
    planted: profits on it are unreal.
    """
    from rich.console import Console

    from contracts.clock import now_us
    from streaming.feeds.formats import canonical
    from streaming.synthetic.market import generate, preset_with

    exchange = preset_with(preset, rate=rate, ic=ic, seed=seed)
    duration_s = days * 86_400
    begin_us = (
        now_us() - int(duration_s * 1e6)
        if start is None
        else int(start.replace(tzinfo=UTC).timestamp()) * 1_000_000
    )
    rows = canonical.write(out, generate(exchange, begin_us, duration_s))
    Console().print(
        f"{rows:,} ticks of {', '.join(exchange.symbols)} in {out} (planted ic {exchange.ic})"
    )
