"""`tick parity`: compares live features, backfilled features, the reference evaluation and what was
served.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contracts.config.settings import Settings

UNEXPLAINED = 3
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
Moment = datetime | None


def register(app: typer.Typer) -> None:
    """Add `parity` to the command line."""
    app.command("parity", rich_help_panel="The data")(parity)


def parity(
    start: Annotated[
        Moment,
        typer.Option("--from", formats=FORMATS, help="UTC; default: where both tables begin"),
    ] = None,
    end: Annotated[
        Moment,
        typer.Option(
            "--to", formats=FORMATS, help="UTC; default: where both end, two minutes before now"
        ),
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(help="only these, such as BINANCE:BTCUSDT,SYNTH:AAAUSD")
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            min=0, max=100_000, help="rows per view to compare with the reference evaluation, too"
        ),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="write parity.png and parity.json to this folder, too"),
    ] = None,
) -> None:
    """Compare live features with backfilled ones, value by value, and what /predict served with
    both; differences have a name.

    Late ticks and a live job that was still warming up explain differences, stretches without a
    live job or without a backfill are listed; everything else is a defect. The totals stay in
    TICK_HOME/parity.json.

    Exit code 0: nothing is unexplained. 3: something is. 1: it could not be compared.
    """
    import orjson
    from rich.console import Console

    from cli.reports.parity_report import show
    from cli.reports.progress_bars import bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from feature_store.parity import meter

    taken_us = now_us()
    from_us, to_us = _range(settings(), start, end, taken_us)
    wanted = [name.strip() for name in symbols.split(",") if name.strip()] if symbols else None
    with bars() as progress:
        report = meter.measure(settings(), from_us, to_us, taken_us, wanted, sample, progress)
    meter.save(settings(), report)
    if as_json:
        typer.echo(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2).decode())
    else:
        show(Console(), report)
    if out is not None:
        from cli.reports.parity_report import write

        write(out, report)
    if report.unexplained:
        raise typer.Exit(UNEXPLAINED)


def _range(settings: "Settings", start: Moment, end: Moment, taken_us: int) -> tuple[int, int]:
    """The range in µs; what is not given is what both tables cover."""
    from feature_store.parity import stored_rows
    from lakehouse.tables import Lakehouse

    if start is not None and end is not None:
        return _micros(start), _micros(end)
    Lakehouse(settings).create()
    first_us, last_us = stored_rows.covered(settings, taken_us)
    return first_us if start is None else _micros(start), last_us if end is None else _micros(end)


def _micros(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)
