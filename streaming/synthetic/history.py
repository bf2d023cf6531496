"""Write synthetic history directly into silver, a day at a time."""

import polars as pl

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.progress import Progress, silent
from lakehouse.tables import Lakehouse
from streaming.synthetic.market import Exchange, Market, generate

DAY_S = 86_400.0


def load_synthetic(
    settings: LakehouseSettings,
    exchange: Exchange,
    start_us: int,
    days: int,
    progress: Progress = silent,
) -> Market:
    """Append `days` days of the exchange from `start_us` on, one commit per day.

    Returns the market at the end of the last day, so that it can be continued.
    """
    lake = Lakehouse(settings)
    lake.create()
    market = Market(exchange, start_us)
    for day in range(days):
        progress("synthetic history", day, days)
        ticks = pl.concat(generate(exchange, market.now_us, DAY_S, market))
        lake.append_ticks(ticks)
    progress("synthetic history", days, days)
    return market
