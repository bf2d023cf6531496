"""`tick features test | try`: feature lines on a file of ticks, with no service running."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import polars as pl

    from contracts.features import Feature
    from contracts.windows import Level
    from feature_store.definition.examples import FeatureExample, Outcome

FormatOption = Annotated[
    str | None, typer.Option("--format", help="of a ticks file; default: found by looking")
]
VenueOption = Annotated[str | None, typer.Option(help="venue of a ticks file that does not say it")]
SymbolOption = Annotated[
    str | None, typer.Option(help="symbol of a ticks file that does not say it")
]


def test(
    file: Annotated[
        Path, typer.Argument(help="a YAML file: ticks, feature lines to try, expected values")
    ],
    format: FormatOption = None,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
) -> None:
    """Compare features with values you expect, on ticks you choose. Needs no service; exit code 1
    when a value differs.

    ```yaml
    ticks:              # seconds from start, price, size, side (1, -1 or 0)
      - [0.5, 100.0, 1.0, 1]
      - [11.2, 102.0, 3.0, -1]
    # or a file beside this one, in any format of `tick replay`: trades.csv

    features:           # lines to try, with the fields of contracts/features.py
      - name: flow_per_trade
        formula: "{sv} / {n}"
        null_if: "{n} = 0"
        unit: base
        scale: 1e-3
        windows_s: [10]

    expect:             # at: end of a row, in seconds from start or UTC
      - at: 12
        flow_per_trade_10s: -3.0
        log_return_10s: LN(1.02)
        bipower_vol_10s: null
    ```

    A row exists where a bar holds a trade; a window is NULL until the symbol has history as long as
    the window. A value may differ by 1e-9 · max(|value|, scale of the feature); `tolerance: 1e-6`
    allows more. Several symbols: say `symbol` too. docs/examples/feature-example.yaml is a whole
    file, docs/adding-a-feature.md says what comes next.
    """
    from feature_store.definition import examples as feature_examples

    read = feature_examples.read_example(file)
    outcomes = feature_examples.evaluate_example(read, _ticks_of(read, file, format, venue, symbol))
    if _show(outcomes):
        raise typer.Exit(1)


def try_formula(
    formula: Annotated[str, typer.Argument(help='over aggregates in braces, such as "{sv} / {n}"')],
    file: Annotated[
        Path,
        typer.Argument(
            help="ticks in any format that `tick replay` reads, or a file of `tick features test`"
        ),
    ],
    window: Annotated[str, typer.Option(help="10s, 1m, 5m, 15m or 1h")] = "1m",
    null_if: Annotated[str, typer.Option("--null-if", help="where the value is NULL")] = "",
    head: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="so many rows of each symbol, from where the window is full"
        ),
    ] = 20,
    format: FormatOption = None,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
) -> None:
    """Print the values of a formula over a file of ticks. `tick features page` lists the
    aggregates; no service is needed.
    """
    from contracts.features import AGGREGATES, Feature
    from contracts.windows import LABELS, level_of
    from feature_store.definition import examples as feature_examples
    from feature_store.definition import reference
    from feature_store.definition.checks import check_lines, nearest
    from feature_store.definition.expressions import DefinitionError

    seconds = {label: w for w, label in LABELS.items()}.get(window)
    if seconds is None:
        raise DefinitionError(f"there is no window {window!r}", nearest(window, LABELS.values()))
    line, read = (
        Feature("tried", formula, "", 1.0, null_if, windows_s=(seconds,)),
        _example_in(file),
    )
    aggregates = AGGREGATES if read is None else read.all_aggregates
    check_lines((line,), aggregates)
    ticks, level = (
        (
            _ticks_in(file, format, venue, symbol)
            if read is None
            else _ticks_of(read, file, format, venue, symbol)
        ),
        level_of(seconds),
    )
    keys = _full_rows(ticks, level, seconds, head)
    made = reference.features(ticks, (line,), aggregates, (level,), only=keys, strict=True)[
        level.view
    ]
    _show_values(made, line, window)
    if made.is_empty():
        raise feature_examples.ExampleError(
            f"no row has {window} of history", "take a longer file or a shorter --window"
        )


def _example_in(file: Path) -> "FeatureExample | None":
    from feature_store.definition import examples as feature_examples

    return (
        feature_examples.read_example(file)
        if file.suffix in feature_examples.YAML_SUFFIXES
        else None
    )


def _ticks_of(
    example: "FeatureExample", file: Path, format: str | None, venue: str | None, symbol: str | None
) -> "pl.DataFrame":
    """The ticks of an example: its rows, or those of the file it names, in the same folder."""
    return (
        _ticks_in(file.parent / example.ticks, format, venue, symbol)
        if isinstance(example.ticks, str)
        else example.inline_ticks()
    )


def _ticks_in(
    file: Path, format: str | None, venue: str | None, symbol: str | None
) -> "pl.DataFrame":
    import polars as pl
    from rich.console import Console

    from contracts.clock import now_us
    from streaming.feeds import open_feed
    from streaming.feeds.tick_frame import empty

    batches = list(open_feed([file], format, venue, symbol).batches(now_us()))
    if rejected := sum(len(batch.rejected) for batch in batches):
        Console(stderr=True).print(
            f"{rejected:,} rows of {file.name} are no ticks and do not count"
        )
    return pl.concat([empty(), *(batch.ticks for batch in batches)])


def _full_rows(
    ticks: "pl.DataFrame", level: "Level", window_s: int, head: int
) -> list[tuple[str, str, int]]:
    import polars as pl

    from feature_store.definition import reference

    ends = reference.row_ends(ticks, level)
    full = ends.filter(pl.col("sec") - pl.col("sec").min().over("symbol") >= window_s)
    return [
        (level.view, *row)
        for row in full.group_by("symbol", maintain_order=True).head(head).iter_rows()
    ]


def _show(outcomes: "Sequence[Outcome]") -> int:
    """Row by row; returns how many values are wrong."""
    from itertools import groupby

    from rich.console import Console

    from feature_store.definition.examples import utc

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"  {'':<28} {'expected':>18} {'got':>18} difference", style="bold")
    for (symbol, sec), row in groupby(outcomes, lambda o: (o.symbol, o.sec)):
        console.print(f"{symbol}, row that ends at {utc(sec)} UTC")
        for outcome in row:
            console.print(_line(outcome))
    wrong = sum(not outcome.ok for outcome in outcomes)
    console.print(f"{len(outcomes) - wrong} of {len(outcomes)} values are as expected")
    return wrong


def _line(outcome: "Outcome") -> str:
    mark = "[green]✓[/]" if outcome.ok else "[bold red]✗[/]"
    difference = "–" if outcome.difference is None else f"{outcome.difference:+.1e}"
    told = (
        f"{outcome.feature:<28} {_number(outcome.expected):>18} {_number(outcome.got):>18}"
        f" {difference:>10}"
    )
    return f"{mark} {told}" + ("" if outcome.ok else f" [red]allowed ±{outcome.allowed:.1e}[/]")


def _show_values(made: "pl.DataFrame", line: "Feature", window: str) -> None:
    from math import isfinite

    from rich.console import Console
    from rich.table import Table

    from feature_store.definition.examples import SECOND_US, utc

    table = Table("symbol", "row end (UTC)", f"{line.formula} over {window}", box=None)
    values = made[f"{line.name}_{window}"].to_list()
    for symbol, time_us, value in zip(made["symbol"], made["event_time_us"], values, strict=True):
        table.add_row(symbol, utc(time_us // SECOND_US), _number(value))
    console = Console(highlight=False)
    console.print(table, markup=False)
    if any(value is not None and not isfinite(value) for value in values):
        console.print(
            "[bold red]✗[/] a feature is a number or NULL, never NaN or infinite: say where it is"
            " NULL with --null-if"
        )


def _number(value: float | None) -> str:
    return "NULL" if value is None else f"{value:.12g}"
