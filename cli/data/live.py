"""`tick live`: the trades of an exchange, into Kafka as they happen."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming.feeds.binance_live import LiveStats
    from streaming.feeds.trade_ids import TradeIds
    from streaming.replay.replay import ReplayProgress


def register(app: typer.Typer) -> None:
    """Add `live` to the command line."""
    app.command("live", rich_help_panel="The data")(live)


def live(
    symbols: Annotated[
        list[str],
        typer.Argument(help="in the exchange's spelling: BTCUSDT ETHUSDT", show_default=False),
    ],
    venue: Annotated[
        str | None,
        typer.Option(help="venue of the ticks; default: derived from the address, e.g. BINANCE"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="duration in minutes; default: until Ctrl-C")
    ] = None,
) -> None:
    """Receive trades of an exchange (Binance streams, TICK_LIVE_URL) and send them to Kafka
    immediately.

    A lost connection is reopened. Trades that were missed in the meantime, or since the last run,
    are detected by their ids, and fetched if TICK_LIVE_REST_URL is set to the REST API of the
    exchange (https://api.binance.com for spot).
    """
    from cli.data.feed_report import print_result, progress_line
    from cli.data.replay import warn_of_other_senders
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.feeds.binance_live import LiveFeed
    from streaming.feeds.trade_ids import TradeIds
    from streaming.replay import other_senders, replay

    trade_ids = TradeIds(settings().root / "replay" / "live.json", settings().live_url)
    feed = LiveFeed(
        settings(),
        tuple(symbol.upper() for symbol in symbols),
        venue,
        None if minutes is None else minutes * 60,
        trade_ids,
    )
    # Trades of an exchange happen now, so its event time is that of our clock.
    warn_of_other_senders(settings(), other_senders.find(settings(), now_us()), ahead_us=0)
    try:
        with progress_line(settings().kafka) as show:
            keep = _keeper(trade_ids, settings().position_interval_s, show)
            print_result(replay.replay(feed, settings(), progress=keep), feed)
    finally:
        trade_ids.save()
        _print_stats(feed.stats)


def _keeper(
    trade_ids: "TradeIds", interval_s: float, show: "Callable[[ReplayProgress], None]"
) -> "Callable[[ReplayProgress], None]":
    """A callback that shows the progress and saves the ids of acknowledged trades."""
    from contracts.clock import steady_us
    from streaming.replay.interval import Interval

    saves = Interval.of_seconds(interval_s)

    def keep(progress: "ReplayProgress") -> None:
        show(progress)
        trade_ids.acknowledge(progress.acknowledged)
        if saves.is_due(steady_us()):
            trade_ids.save()

    return keep


def _print_stats(stats: "LiveStats") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(
        f"  connections {stats.connections:,}; gaps {stats.gaps:,}, trades missing"
        f" {stats.missing:,}, fetched {stats.filled:,}"
    )
