"""`tick serve` runs the prediction API here; `tick predict` asks the running one."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli.models import power, vision
from contracts.config.settings import Settings, settings

ASK_TIMEOUT_S = 5.0


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command("serve", rich_help_panel="Serving")(serve)
    asks = typer.Typer(cls=Predict, no_args_is_help=True)
    asks.callback(
        help=(
            "Ask the running API about symbols, forecast tomorrow's power, or name what pictures"
            " show: `tick predict VENUE:SYMBOL`, `tick predict power`, `tick predict mnist"
            " PICTURE`, `tick predict cifar10 PICTURE`."
        )
    )(_group)
    asks.command(Predict.DEFAULT)(predict)
    asks.command("power")(power.predict)
    asks.command("mnist")(vision.predict_mnist)
    asks.command("cifar10")(vision.predict_cifar10)
    app.add_typer(asks, name="predict", rich_help_panel="Serving")


class Predict(TyperGroup):
    """`tick predict VENUE:SYMBOL …` is `tick predict symbols VENUE:SYMBOL …`: what is not a command
    of this group is a symbol.
    """

    DEFAULT = "symbols"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in front where it was left out."""
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else [self.DEFAULT, *args])


def _group() -> None:
    """Commands that forecast."""


def serve(
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            help="start it as a service; `tick status` shows it, `tick down` stops it",
        ),
    ] = False,
) -> None:
    """Run the prediction API: in the foreground until Ctrl-C, or as a service (the address: `tick
    open api`).
    """
    from stack.secrets import API_KEY_NAME, ensure_api_key
    from stack.secrets import api_key as key_of

    given = settings()
    if background:
        _start(given)
        return
    ensure_api_key(given)
    sys.stdout.flush()
    # The API becomes this very process: signals reach it directly, and nothing of the command line
    # stays in its memory.
    os.execve(
        sys.executable,
        [sys.executable, "-m", "serving.main"],
        {**os.environ, API_KEY_NAME: key_of(given)},
    )


def _start(given: Settings) -> None:
    from rich.console import Console

    from stack import platform

    with Console(stderr=True).status("starting the API"):
        platform.start(given, "api")
    Console().print(f"the API answers on {given.api_url}", highlight=False)


def predict(
    symbols: Annotated[
        list[str],
        typer.Argument(help="VENUE:SYMBOL, one or more, e.g. BINANCE:BTCUSDT", show_default=False),
    ],
    features: Annotated[
        bool, typer.Option("--features", help="show the feature values that were used")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the API's answer as JSON")] = False,
) -> None:
    """Ask the running API for the expected return of each symbol; exit 1 when a symbol has no
    answer.
    """
    from rich.console import Console

    answer = ask(settings(), symbols, features)
    console = Console()
    if as_json:
        console.print_json(data=answer)
    else:
        show_results(console, answer["results"])
    if any(result["status"] != "ok" for result in answer["results"]):
        raise typer.Exit(1)


def ask(given: Settings, symbols: list[str], include_features: bool) -> dict[str, Any]:
    """The API's answer, refusals per symbol included. Raises ServiceError when it is away or
    refuses the request.
    """
    from serving.client import Client
    from stack.secrets import api_key as key_of

    return Client(given.api_url, key_of(given), ASK_TIMEOUT_S).ask(symbols, include_features)


def show_results(console: Any, results: list[dict[str, Any]]) -> None:
    """One line per symbol: the forecast, or why there is none."""
    from rich.table import Table

    table = Table("symbol", "forecast (bps)", "horizon", "model", "age", "remark", box=None)
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)
    for result in results:
        for name, value in result.get("features", {}).items():
            console.print(f"  {result['symbol']}  {name} = {value}", highlight=False, markup=False)


def _cells(result: dict[str, Any]) -> tuple[str, ...]:
    age = f"{result['age_s']:.1f} s" if "age_s" in result else "–"
    if result["status"] != "ok":
        return result["symbol"], "–", "–", "–", age, f"{result['status']}: {result['reason']}"
    remarks = ["stale"] if result.get("stale") else []
    remarks += [result["note"]] if "note" in result else []
    model = f"{result['model_name']} v{result['model_version']}"
    return (
        result["symbol"],
        f"{result['prediction_bps']:+.3f}",
        f"{result['horizon_s']} s",
        model,
        age,
        "; ".join(remarks),
    )
