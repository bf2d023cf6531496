"""`tick live`: an exchange heard as it happens, into Kafka."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.feeds.binance_live import LiveStats


def register(app: typer.Typer) -> None:
    """Add `live` to the command line."""
    app.command("live", rich_help_panel="The data")(live)


def live(
    symbols: Annotated[
        list[str],
        typer.Argument(help="as the exchange writes them: BTCUSDT ETHUSDT", show_default=False),
    ],
    venue: Annotated[
        str | None,
        typer.Option(help="venue of the ticks; default: what the address says, e.g. BINANCE"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="end after so long; default: until Ctrl-C")
    ] = None,
) -> None:
    """Receive trades of an exchange (Binance streams, TICK_LIVE_URL) and send them to Kafka as they
    come.

    A lost connection is opened again. Trades that were missed meanwhile are found by their numbers,
    and fetched where TICK_LIVE_REST_URL names the exchange's REST interface
    (https://api.binance.com for spot).
    """
    from cli.data.replay import display, report
    from contracts.config.settings import settings
    from streaming.feeds.binance_live import LiveFeed
    from streaming.replay import replay

    feed = LiveFeed(
        settings(),
        tuple(symbol.upper() for symbol in symbols),
        venue,
        None if minutes is None else minutes * 60,
    )
    try:
        with display(settings().kafka) as show:
            report(replay.replay(feed, settings(), progress=show), feed)
    finally:
        _tell(feed.stats)


def _tell(heard: "LiveStats") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(
        f"  connections {heard.connections:,}; gaps {heard.gaps:,}, trades missing"
        f" {heard.missing:,}, fetched {heard.filled:,}"
    )
