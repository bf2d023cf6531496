"""`tick parity`: compare live features, backfilled features, the reference evaluation and served
values.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import exit_if
from cli.symbols import split_symbols
from cli.times import FORMATS, TIME_METAVAR, resolve_range

if TYPE_CHECKING:
    from contracts.config.groups.lakehouse import LakehouseSettings

UNEXPLAINED = 3

Start = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="UTC; default: where both tables begin",
    ),
]
End = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="UTC; default: where both end, two minutes before now",
    ),
]
Symbols = Annotated[
    str | None, typer.Option(help="only these, such as BINANCE:BTCUSDT,SYNTH:AAAUSD")
]
Sample = Annotated[
    int,
    typer.Option(
        min=0, max=100_000, help="rows per view to compare with the reference evaluation as well"
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="also write parity.png and parity.json to this folder"),
]


def register(app: typer.Typer) -> None:
    """Add `parity` to the command line."""
    app.command("parity", rich_help_panel="The data")(parity)


def parity(
    start: Start = None,
    end: End = None,
    symbols: Symbols = None,
    sample: Sample = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    out: Out = None,
) -> None:
    """Compare live with backfilled features, value by value, and both with what /predict served;
    every difference gets a cause.

    Late ticks and the warm-up of the live job explain differences; intervals without a live job or
    without a backfill are listed; any other difference is a defect. The totals are stored in
    TICK_HOME/parity.json.

    Exit code 0: no difference is unexplained. 3: some are. 1: the tables cannot be compared.
    """
    import orjson
    from rich.console import Console

    from cli.reports import parity_report
    from cli.reports.progress_bars import progress_bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from feature_store.parity import meter

    names = split_symbols(symbols)
    taken_us = now_us()
    from_us, end_us = resolve_range(start, end, lambda: _covered_range(settings(), taken_us))
    with progress_bars() as progress:
        report = meter.measure(settings(), from_us, end_us, taken_us, names, sample, progress)
    meter.save(settings(), report)
    if as_json:
        typer.echo(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2).decode())
    else:
        parity_report.print_report(Console(), report)
    if out is not None:
        parity_report.write_report(out, report)
    exit_if(report.unexplained > 0, UNEXPLAINED)


def _covered_range(settings: "LakehouseSettings", taken_us: int) -> tuple[int, int]:
    """The range in µs that both tables cover."""
    from feature_store.parity import stored_rows
    from lakehouse.tables import Lakehouse

    lakehouse = Lakehouse(settings)
    lakehouse.create()
    return stored_rows.covered_range(lakehouse, taken_us)
