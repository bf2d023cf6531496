"""`tick features test | try`: evaluate features on a file of ticks, without any service."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import FAILED, exit_if
from cli.tables import build_table, format_optional

if TYPE_CHECKING:
    import polars as pl

    from contracts.features import Feature
    from contracts.windows import Level
    from feature_store.definition.examples import FeatureExample, Outcome

FormatOption = Annotated[
    str | None, typer.Option("--format", help="format of a ticks file; default: detected")
]
VenueOption = Annotated[str | None, typer.Option(help="venue of a ticks file that has none")]
SymbolOption = Annotated[str | None, typer.Option(help="symbol of a ticks file that has none")]


def test(
    file: Annotated[
        Path, typer.Argument(help="a YAML file: ticks, feature lines to try, expected values")
    ],
    format: FormatOption = None,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
) -> None:
    """Compare features with expected values on chosen ticks. Needs no service; exit code 1 when a
    value differs.

    ```yaml
    ticks:              # seconds from start, price, size, side (1, -1 or 0)
      - [0.5, 100.0, 1.0, 1]
      - [11.2, 102.0, 3.0, -1]
    # or a file alongside this one, in any format of `tick replay`: trades.csv

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

    A row exists where a bar has a trade; a window is NULL until the symbol has history as long as
    the window. A value may differ by 1e-9 · max(|value|, scale of the feature); `tolerance: 1e-6`
    allows more. With several symbols, add `symbol` to each row. docs/examples/feature-example.yaml
    is a complete file, docs/adding-a-feature.md explains the next steps.
    """
    from feature_store.definition import examples as feature_examples

    example = feature_examples.read_example(file)
    ticks = _example_ticks(example, file, format, venue, symbol)
    outcomes = feature_examples.evaluate_example(example, ticks)
    _print_outcomes(outcomes)
    exit_if(not all(outcome.ok for outcome in outcomes), FAILED)


def try_formula(
    formula: Annotated[str, typer.Argument(help='over aggregates in braces, such as "{sv} / {n}"')],
    file: Annotated[
        Path,
        typer.Argument(
            help="ticks in any format that `tick replay` reads, or a file of `tick features test`"
        ),
    ],
    window: Annotated[str, typer.Option(help="10s, 1m, 5m, 15m or 1h")] = "1m",
    null_if: Annotated[
        str, typer.Option("--null-if", help='where the value is NULL, such as "{n} = 0"')
    ] = "",
    head: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000,
            help="number of rows per symbol, from the first one with a full window",
        ),
    ] = 20,
    format: FormatOption = None,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
) -> None:
    """Print the values of a formula over a file of ticks. Needs no service; `tick features page`
    lists the aggregates.
    """
    from contracts.features import AGGREGATES, Feature
    from contracts.windows import level_of
    from feature_store.definition import examples as feature_examples
    from feature_store.definition import reference
    from feature_store.definition.checks import check_lines

    window_s = _window_s(window)
    level = level_of(window_s)
    feature = Feature("tried", formula, "", 1.0, null_if, windows_s=(window_s,))
    if file.suffix in feature_examples.YAML_SUFFIXES:
        example = feature_examples.read_example(file)
        aggregates = example.all_aggregates
        check_lines((feature,), aggregates)
        ticks = _example_ticks(example, file, format, venue, symbol)
    else:
        aggregates = AGGREGATES
        check_lines((feature,), aggregates)
        ticks = _read_ticks(file, format, venue, symbol)
    keys = _full_rows(ticks, level, window_s, head)
    values = reference.features(ticks, (feature,), aggregates, (level,), only=keys, strict=True)
    _print_values(values[level.view], feature, window)
    if values[level.view].is_empty():
        raise feature_examples.ExampleError(
            f"no row has {window} of history", "use a longer file or a shorter --window"
        )


def _window_s(label: str) -> int:
    from contracts.windows import LABELS
    from feature_store.definition.checks import nearest
    from feature_store.definition.expressions import DefinitionError

    lengths_s = {label: window_s for window_s, label in LABELS.items()}
    if label not in lengths_s:
        raise DefinitionError(f"unknown window {label!r}", nearest(label, lengths_s))
    return lengths_s[label]


def _example_ticks(
    example: "FeatureExample", file: Path, format: str | None, venue: str | None, symbol: str | None
) -> "pl.DataFrame":
    """The inline ticks of an example, or those of its ticks file, which is in the same folder."""
    if isinstance(example.ticks, str):
        return _read_ticks(file.parent / example.ticks, format, venue, symbol)
    return example.inline_ticks()


def _read_ticks(
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
            f"{rejected:,} rows of {file.name} are not ticks and are ignored", markup=False
        )
    return pl.concat([empty(), *(batch.ticks for batch in batches)])


def _full_rows(
    ticks: "pl.DataFrame", level: "Level", window_s: int, head: int
) -> list[tuple[str, str, int]]:
    import polars as pl

    from feature_store.definition import reference

    ends = reference.row_ends(ticks, level)
    full = ends.filter(pl.col("sec") - pl.col("sec").min().over("symbol") >= window_s)
    first = full.group_by("symbol", maintain_order=True).head(head)
    return [(level.view, *row) for row in first.iter_rows()]


def _print_outcomes(outcomes: "Sequence[Outcome]") -> None:
    """Print expected and actual values, row by row."""
    from itertools import groupby

    from rich.console import Console
    from rich.markup import escape

    from feature_store.definition.examples import utc

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"  {'':<28} {'expected':>18} {'got':>18} difference", style="bold")
    for (symbol, sec), row in groupby(outcomes, lambda outcome: (outcome.symbol, outcome.sec)):
        console.print(f"{escape(symbol)}, row that ends at {utc(sec)} UTC")
        for outcome in row:
            console.print(_outcome_line(outcome))
    correct = sum(outcome.ok for outcome in outcomes)
    console.print(f"{correct} of {len(outcomes)} values are as expected")


def _outcome_line(outcome: "Outcome") -> str:
    expected = _format_value(outcome.expected)
    got = _format_value(outcome.got)
    difference = format_optional(outcome.difference, "{:+.1e}")
    line = f"{outcome.feature:<28} {expected:>18} {got:>18} {difference:>10}"
    if outcome.ok:
        return f"[green]✓[/] {line}"
    return f"[bold red]✗[/] {line} [red]allowed ±{outcome.allowed:.1e}[/]"


def _print_values(rows: "pl.DataFrame", feature: "Feature", window: str) -> None:
    from rich.console import Console

    from contracts.durations import SECOND_US
    from feature_store.definition.examples import utc

    columns = ("symbol", "row end (UTC)", f"{feature.formula} over {window}")
    values = rows[f"{feature.name}_{window}"]
    ends = (utc(time_us // SECOND_US) for time_us in rows["event_time_us"])
    cells = zip(rows["symbol"], ends, map(_format_value, values), strict=True)
    console = Console(highlight=False)
    console.print(build_table(columns, cells, box=None), markup=False)
    if not values.is_finite().all():
        console.print(
            "[bold red]✗[/] a feature is a number or NULL, never NaN or infinite: define with"
            " --null-if where it is NULL"
        )


def _format_value(value: float | None) -> str:
    return "NULL" if value is None else f"{value:.12g}"
