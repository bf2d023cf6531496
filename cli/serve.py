"""`tick serve` runs the prediction API; `tick predict` requests predictions from it."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli.exit_codes import FAILED, exit_if
from cli.models import power, vision


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command("serve", rich_help_panel="Serving")(serve)
    predict_app = typer.Typer(cls=PredictGroup, no_args_is_help=True)
    predict_app.callback(
        help=(
            "Get predictions of symbols from the running API, forecast tomorrow's power, or"
            " classify pictures: `tick predict VENUE:SYMBOL`, `tick predict power`,"
            " `tick predict mnist PICTURE`, `tick predict cifar10 PICTURE`."
        )
    )(_predict_callback)
    predict_app.command(PredictGroup.DEFAULT)(predict)
    predict_app.command("power")(power.predict)
    predict_app.command("mnist")(vision.predict_mnist)
    predict_app.command("cifar10")(vision.predict_cifar10)
    app.add_typer(predict_app, name="predict", rich_help_panel="Serving")


class PredictGroup(TyperGroup):
    """`tick predict VENUE:SYMBOL …` is short for `tick predict symbols VENUE:SYMBOL …`: a first
    word that is not a command of this group is a symbol.
    """

    DEFAULT = "symbols"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command if no command is named."""
        is_command = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if is_command else [self.DEFAULT, *args])


def _predict_callback() -> None:
    """Commands that predict."""


def serve(
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            help="start it as a service; `tick status` shows it, `tick down` stops it",
        ),
    ] = False,
) -> None:
    """Run the prediction API in the foreground until Ctrl-C, or as a service (its address: `tick
    open api`).
    """
    if background:
        _start_service()
    else:
        _exec_api()


def _start_service() -> None:
    from rich.console import Console

    from contracts.config.settings import settings
    from stack import platform

    with Console(stderr=True).status("starting the API"):
        platform.start(settings(), "api")
    Console().print(f"the API is ready at {settings().api_url}", highlight=False)


def _exec_api() -> None:
    """Replace this process with the API: signals reach it directly, and it does not keep the memory
    of the command line.
    """
    from contracts.config.settings import settings
    from stack import secrets

    secrets.ensure_api_key(settings())
    key = secrets.api_key(settings())
    sys.stdout.flush()
    os.execve(
        sys.executable,
        [sys.executable, "-m", "serving.main"],
        {**os.environ, secrets.API_KEY_NAME: key},
    )


def predict(
    symbols: Annotated[
        list[str],
        typer.Argument(help="VENUE:SYMBOL, one or more, e.g. BINANCE:BTCUSDT", show_default=False),
    ],
    features: Annotated[
        bool, typer.Option("--features", help="also print the feature values that were used")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the response of the API as JSON")
    ] = False,
) -> None:
    """Get the expected return of each symbol from the running API. Exit code 1 when a symbol has no
    prediction.
    """
    from rich.console import Console

    from cli.reports.predictions_table import print_predictions
    from contracts.config.settings import settings
    from stack.services.project_services import api_client

    response = api_client(settings()).predict_json(symbols, features)
    console = Console()
    if as_json:
        console.print_json(data=response)
    else:
        print_predictions(console, response["results"])
    exit_if(any(result["status"] != "ok" for result in response["results"]), FAILED)
